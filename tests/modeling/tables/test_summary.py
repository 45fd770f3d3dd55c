"""The summary of a fit: text, HTML, LaTeX, and one line at the prompt."""

import numpy as np
import pandas as pd
import pytest

from llmdemand import fit_demand, fraclogit, logit


@pytest.fixture(scope="module")
def fit():
    df = pd.DataFrame({"price": np.tile([1.0, 2, 3, 4], 5), "z_1": np.arange(20) % 3})
    df["belief"] = 1 / (1 + np.exp(df["price"] - 2.5 + np.sin(np.arange(20))))
    return fraclogit("belief ~ price + z_1", df)


def test_numbers_are_those_of_tidy(fit):
    found = fit.summary(level=0.9)
    pd.testing.assert_frame_equal(found.frame, fit.tidy(0.1))
    facts, terms = found.tables
    pd.testing.assert_frame_equal(terms, found.frame)
    assert facts["fact"][0] == fit.title and "90 % intervals" in found


def test_text_is_as_wide_as_the_terminal(fit, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    whole = str(fit.summary())
    assert whole == fit.summary().as_text() == repr(fit.summary())
    assert [line.split()[0] for line in whole.splitlines()[-3:]] == ["const", "price", "z_1"]
    monkeypatch.setenv("COLUMNS", "45")
    lines = str(fit.summary()).splitlines()
    assert max(map(len, lines)) <= 45 and sum(line.startswith("z_1") for line in lines) == 2


def test_html_and_latex(fit):
    found = fit.summary()
    assert found._repr_html_() == found.as_html() == fit._repr_html_()
    assert found.as_html().count("<tr>") == 4 and "<p>Fractional logit" in found.as_html()
    latex = found.as_latex()
    assert latex == found.to_latex() and r"z\_1 & $" in latex
    assert r"\multicolumn{7}{l}{Fractional logit (quasi-likelihood) of belief}" in latex


def test_a_fit_is_one_line_at_the_prompt(fit, synthetic_panel):
    price, se = fit.params["price"], fit.bse["price"]
    assert repr(fit) == (
        f"<LogitResults: fractional logit of belief, 20 obs, price {price:.3g} ({se:.3g}), "
        "2 more terms>"
    )
    demand = fit_demand(synthetic_panel, "belief")
    assert repr(demand).startswith("<Demand: fractional logit of belief, 480 obs, price -0.5")
    assert repr(demand.fit).startswith("<LogitResults: ")
    assert "outcome belief corrected by the final choice, price in cents" in demand.summary()
    one = logit("choice ~ 1", pd.DataFrame({"choice": [0, 1, 1.0]}))
    assert repr(one) == "<LogitResults: binary logit of choice, 3 obs, const 0.693 (1.5)>"
