"""Tables as they are printed, character by character."""

import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest

from llmdemand import fit_demand, load_study, simulate
from llmdemand.errors import UsageError
from llmdemand.modeling.estimation.estimate import SeparationWarning
from llmdemand.modeling.models.logit import fraclogit, logit
from llmdemand.modeling.tables.etable import etable


@pytest.fixture(scope="module")
def models():
    price = np.tile([1.0, 2, 3, 4], 6)
    z = np.arange(24) * 7 % 5 - 2
    belief = 1 / (1 + np.exp(price - 2.5 - 0.3 * z + 0.4 * np.sin(np.arange(24))))
    df = pd.DataFrame(
        {
            "price": price,
            "my_x": z,
            "belief": belief,
            "choice": (belief > (np.arange(24) * 11 % 24) / 24).astype(float),
            "person": np.repeat(np.arange(6), 4),
        }
    )
    return (
        fraclogit("belief ~ price + my_x", df, vcov={"CRV1": "person"}),
        logit("choice ~ price + I(price % 2 == 0)", df),
    )


@pytest.fixture(scope="module")
def separated():
    df = pd.DataFrame({"choice": [1, 1, 0, 1, 0, 0.0], "z": [1, 1, 1, 1, 0, 0], "x": range(6)})
    with pytest.warns(SeparationWarning):
        return logit("choice ~ z", df)


def test_text(models):
    table = etable(*models, keep="price", names=["belief", "choice"], stars=True)
    assert table.to_text() == TEXT
    assert (
        etable(*models, keep="price", names=["belief", "choice"], stars=True, format="text") == TEXT
    )


def test_markdown(models):
    assert etable(models[0], format="markdown", keep="my_x", stars=True) == MARKDOWN


def test_latex(models, separated):
    found = etable(models[0], separated, format="latex", keep="my_x|z", names=["50 % & a_b", "S"])
    assert found == LATEX


def test_html(models):
    assert etable(models[1], format="html", keep="I", names=["<b>"], stars=True) == HTML


def test_separated_fits_say_so_and_print_no_nan(separated):
    text = etable(separated).to_text()
    assert re.search(r"^z +inf \(separated\)$", text, re.M)
    assert re.search(r"^const +-inf \(separated\)$", text, re.M)
    assert re.search(r"^estimator +none \(separated\)$", text, re.M)
    df = pd.DataFrame(
        {"choice": [1, 1, 0, 1, 0, 0.0], "z": [1, 1, 1, 1, 0, 0], "x": [1, 2, 3, 4, 5, 6]}
    )
    with pytest.warns(SeparationWarning):
        partly = logit("choice ~ z + x", df.assign(x=[2, 2, 2, 2, 1, 3]))
    for format in ("text", "markdown", "latex", "html"):
        assert "nan" not in etable(separated, partly, format=format).lower()
    assert "unknown (separated)" in etable(partly)


def test_the_frame_holds_the_same_cells(models):
    frame = etable(*models, format="frame", digits=2)
    assert frame.columns.tolist() == ["(1)", "(2)"]
    assert frame.loc["price", "(1)"] == f"{models[0].params['price']:.2f}"
    assert frame.loc["my_x", "(2)"] == ""
    assert frame.iloc[list(frame.index).index("price") + 1, 1] == f"({models[1].bse['price']:.2f})"
    assert frame.loc["clusters"].tolist() == ["6", "none"]
    assert frame.loc["covariance"].tolist() == ["CRV1 (clusters: person)", "HC1"]
    assert frame.loc["small-sample factor"].tolist() == ["G/(G-1)", "n/(n-1)"]
    assert frame.loc["N"].tolist() == ["24", "24"]
    assert frame.loc["log-likelihood", "(2)"] == f"{models[1].llf:.2f}"
    assert frame.loc["McFadden R2", "(2)"] == f"{models[1].prsquared:.2f}"
    assert frame.loc["estimator"].tolist() == ["quasi-ML", "ML"]


def test_stars_follow_the_p_values_of_the_fit(models):
    frame = etable(*models, format="frame", stars=True)
    for column, model in zip(frame.columns, models, strict=True):
        for term, p in model.pvalues.items():
            stars = "***" if p < 0.001 else "**" if p < 0.01 else "*" if p < 0.05 else ""
            assert re.sub(r"[^*]", "", frame.loc[term, column]) == stars
    assert "*" not in etable(*models)


def test_terms_are_kept_and_dropped_by_pattern(models):
    def terms(**options):
        frame = etable(*models, format="frame", **options)
        return [t for t in frame.index[2:-7] if t]

    assert terms() == ["const", "price", "my_x", "I(price % 2 == 0)"]
    assert terms(keep=r"^price$") == ["price"]
    assert terms(keep=["my", "const"]) == ["const", "my_x"]
    assert terms(drop="price") == ["const", "my_x"]
    assert terms(keep="price", drop=r"I\(") == ["price"]


def test_demands_and_firth():
    panel = simulate(load_study("pampers"), "synthetic", runs=5, seed=1)
    demands = [fit_demand(panel, o, separation="firth") for o in ("belief", "choice")]
    frame = etable(*demands, format="frame")
    assert frame.loc["outcome"].tolist() == ["belief", "choice"]
    assert frame.loc["estimator"].tolist() == ["Firth", "Firth"]


def test_html_can_be_parsed_and_shows_names_as_they_are(models):
    class Reader(HTMLParser):
        text = ""

        def handle_data(self, data):
            self.text += data

    reader = Reader()
    reader.feed(etable(models[1], format="html", names=["<script>&"]))
    assert "<script>&" in reader.text and "I(price % 2 == 0)" in reader.text


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"format": "latx"}, "did you mean 'latex'"),
        ({"names": ["a"]}, "1 names for 2 fits"),
        ({"names": "ab"}, "one name for each"),
        ({"keep": "nothing"}, "leave no term of const, price"),
        ({"drop": "("}, "no regular expression"),
        ({"digits": -1}, "from 0 to 15"),
        ({"digits": 2.5}, "from 0 to 15"),
    ],
)
def test_impossible_options(models, options, message):
    with pytest.raises(UsageError, match=message):
        etable(*models, **options)


def test_no_fit():
    with pytest.raises(UsageError, match="no fit to show"):
        etable()


def test_the_object_has_every_form(models):
    table = etable(list(models), stars=True, keep="price")
    assert table == etable(*models, stars=True, keep="price")
    for form, own in (
        ("text", table.to_text()),
        ("markdown", table.to_markdown()),
        ("latex", table.to_latex()),
        ("html", table.to_html()),
    ):
        assert own == etable(*models, stars=True, keep="price", format=form)
    pd.testing.assert_frame_equal(
        table.frame, etable(*models, keep="price", stars=True, format="frame")
    )
    assert table._repr_html_() == table.to_html() and "quasi-ML" in table


def test_it_is_as_wide_as_the_terminal(models, monkeypatch):
    table = etable(*models)
    monkeypatch.setenv("COLUMNS", "200")
    assert str(table) == repr(table) == table.to_text()
    monkeypatch.setenv("COLUMNS", "50")
    lines = str(table).splitlines()
    assert max(map(len, lines)) <= 50
    # Both columns are there, each with the labels.
    assert sum(line.startswith("log-likelihood") for line in lines) == 2
    assert [line.split() for line in lines if "(1)" in line or "(2)" in line] == [["(1)"], ["(2)"]]


def test_intercept_finds_the_constant(models):
    frame = etable(*models, keep="^Intercept$", format="frame")
    assert frame.index[2] == "const" and "price" not in frame.index


TEXT = r"""
                                      belief           choice
--------------------------------------------------------------
outcome                               belief           choice
model                       fractional logit     binary logit
--------------------------------------------------------------
price                                 -0.951***        -1.208*
                                     (0.083)          (0.500)
I(price % 2 == 0)                                       0.255
                                                      (1.091)
--------------------------------------------------------------
covariance           CRV1 (clusters: person)              HC1
small-sample factor                  G/(G-1)          n/(n-1)
clusters                                   6             none
N                                         24               24
log-likelihood                       -13.808          -12.576
McFadden R2                            0.170            0.228
estimator                           quasi-ML               ML
--------------------------------------------------------------
* p < 0.05, ** p < 0.01, *** p < 0.001"""[1:]

MARKDOWN = r"""
|  | (1) |
|---|---:|
| outcome | belief |
| model | fractional logit |
| my\_x | 0.262\*\*\* |
|  | (0.037) |
| covariance | CRV1 (clusters: person) |
| small-sample factor | G/(G-1) |
| clusters | 6 |
| N | 24 |
| log-likelihood | -13.808 |
| McFadden R2 | 0.170 |
| estimator | quasi-ML |

\* p \< 0.05, \*\* p \< 0.01, \*\*\* p \< 0.001"""[1:]

LATEX = r"""
\begin{tabular}{lrr}
\toprule
& 50 \% \& a\_b & S \\
\midrule
outcome & belief & choice \\
model & fractional logit & binary logit \\
\midrule
my\_x & 0.262 &  \\
 & (0.037) &  \\
z &  & $\infty$ (separated) \\
 &  & ($\infty$) \\
\midrule
covariance & CRV1 (clusters: person) & none \\
small-sample factor & G/(G-1) & none \\
clusters & 6 & none \\
N & 24 & 6 \\
log-likelihood & $-13.808$ & $-2.249$ \\
McFadden R2 & 0.170 & 0.459 \\
estimator & quasi-ML & none (separated) \\
\bottomrule
\end{tabular}"""[1:]

HTML = r"""
<table>
<thead><tr><th></th><th>&lt;b&gt;</th></tr></thead>
<tbody>
<tr><th>outcome</th><td>choice</td></tr>
<tr><th>model</th><td>binary logit</td></tr>
</tbody>
<tbody>
<tr><th>I(price % 2 == 0)</th><td>0.255</td></tr>
<tr><th></th><td>(1.091)</td></tr>
</tbody>
<tbody>
<tr><th>covariance</th><td>HC1</td></tr>
<tr><th>small-sample factor</th><td>n/(n-1)</td></tr>
<tr><th>clusters</th><td>none</td></tr>
<tr><th>N</th><td>24</td></tr>
<tr><th>log-likelihood</th><td>-12.576</td></tr>
<tr><th>McFadden R2</th><td>0.228</td></tr>
<tr><th>estimator</th><td>ML</td></tr>
</tbody>
<tfoot><tr><td colspan="2">* p &lt; 0.05, ** p &lt; 0.01, *** p &lt; 0.001</td></tr></tfoot>
</table>"""[1:]
