"""A demand report on scanner data whose numbers are published: Jain, Vilcassim and Chintagunta."""

import functools
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import llmdemand as ld
from llmdemand.errors import DesignError, UsageError
from llmdemand.modeling.own.named import fit_own

GOLDEN = Path(__file__).parents[2] / "golden"
PRINTED = json.loads((GOLDEN / "yogurt.json").read_text("utf-8"))["params"]
WORDS = ("--case", "case", "--alternative", "brand")


@pytest.fixture(scope="module")
def yogurt():
    return ld.read_table(GOLDEN / "yogurt.csv.gz", text=["brand"])


@pytest.fixture(scope="module")
def fit(yogurt):
    how = {"case": "case", "alternative": "brand", "respondent": "id"}
    return fit_own("price + feat", yogurt, choice="choice", **how)


@pytest.fixture
def run(run_in, tmp_path, yogurt):
    """Run a command in a folder with a table."""
    yogurt.to_csv(tmp_path / "yogurt.csv", index=False)
    return functools.partial(run_in, tmp_path)


def test_a_report_says_what_the_fit_says(fit):
    report = ld.demand_report(fit, cost=4, unit="cents")
    found = report.quantities
    matrix = found["elasticity"].matrix()
    own = fit.elasticity(alternative="dannon", average="share_weighted")
    assert matrix.loc["dannon", "dannon"] == pytest.approx(float(own))
    worth = float(found["willingness_to_pay"])
    assert worth == pytest.approx(0.491439 / 0.366555, abs=2e-4)  # as logitr prints the two
    best = found["optimal_price"].table.set_index("alternative")["estimate"]
    assert list(best.index) == ["dannon", "hiland", "weight", "yoplait"]
    assert best["weight"] == pytest.approx(float(fit.optimal_price(4, alternative="weight")))
    assert "best price is" in report.verdict() and "cents" in report.verdict()
    assert not report.answers.lacking and "elasticity" in repr(report)


def test_one_person_is_one_cluster_unless_asked_otherwise(fit, yogurt):
    assert fit.clusters == 100 and "id" in fit.vcov
    how = {"choice": "choice", "case": "case", "alternative": "brand", "respondent": "id"}
    assert fit_own("price", yogurt, vcov="HC1", **how).clusters is None


def test_the_matrix_prints_as_one_and_keeps_its_intervals(fit):
    found = fit.elasticity(kind="matrix")
    lines = found.summary().splitlines()
    head = next(k for k, line in enumerate(lines) if line.split() == list(fit.design.alternatives))
    assert [line.split()[0] for line in lines[head + 1 : head + 5]] == list(fit.design.alternatives)
    assert {"lower", "upper", "se"} <= set(found.table) and len(found.table) == 16
    assert "<th>dannon</th>" in found._repr_html_()


def test_a_column_of_prices_is_called_so(fit):
    assert fit.elasticity(at={"dannon": 8}, alternative="dannon").keys[0] == "price_dannon"
    assert fit.demand_curve([7, 8], alternative="dannon").keys[0] == "price"


def test_text_has_the_worth_of_its_levels(yogurt):
    half = yogurt.assign(size=np.where(yogurt["feat"] > 0, "large", "small"))
    fit = ld.clogit("choice ~ price + size", half, case="case", alternative="brand")
    found = ld.demand_report(fit).quantities["willingness_to_pay"].table
    assert found["attribute"].tolist() == ["size[T.small]"]
    assert found["estimate"].iloc[0] == pytest.approx(-0.491439 / 0.366555, abs=2e-4)


def test_a_polars_frame_has_the_same_report(fit, yogurt):
    import polars

    frame = polars.from_pandas(yogurt)
    same = ld.clogit("choice ~ price + feat", frame, case="case", alternative="brand")
    np.testing.assert_allclose(same.params, fit.params, rtol=1e-9)
    assert "shares" in ld.demand_report(same).quantities


def test_the_files_hold_all_digits_and_the_page_the_simulator(fit, tmp_path):
    report = ld.demand_report(fit, cost=4, title="Yogurt <b>")
    note = report.save(tmp_path / "out", command="llmdemand fit yogurt.csv")
    page = (tmp_path / "out" / "report.html").read_text("utf-8")
    assert "Yogurt &lt;b&gt;" in page and "llmdemand fit yogurt.csv" in page
    assert 'id="simulator' in page and "price of dannon" in page
    names = {p.name for p in (tmp_path / "out" / "tables").iterdir()}
    assert {"elasticity.csv", "shares.tex", "optimal_price.md", "coefficients.csv"} <= names
    read = pd.read_csv(tmp_path / "out" / "tables" / "coefficients.csv", index_col="term")
    np.testing.assert_allclose(read.iloc[:, 0], fit.params, rtol=1e-12)
    assert note == "" or "llmdemand[xlsx]" in note


def test_a_workbook_runs_no_text_as_a_formula(tmp_path):
    pytest.importorskip("openpyxl")
    from llmdemand.core.sheets import write_xlsx

    table = pd.DataFrame({"a": ["=1+1", "tea"], "x": [0.1, np.nan]})
    write_xlsx({"one/two": table}, tmp_path / "t.xlsx")
    import openpyxl

    sheet = openpyxl.load_workbook(tmp_path / "t.xlsx")["one_two"]
    assert sheet["A2"].value == "=1+1" and sheet["A2"].data_type == "s"
    assert sheet["B2"].value == 0.1


def test_the_command_prints_published_numbers_and_writes_a_page(run, tmp_path):
    said = ("fit", "yogurt.csv", *WORDS, "--panel", "id", "choice ~ price + feat", "--cost", 4)
    code, out, err = run(*said, "--out", "results")
    assert code == 0, err
    for words in ("Conditional logit of choice", "price of (columns)", "its best price is"):
        assert words in out
    page = (tmp_path / "results" / "report.html").read_text("utf-8")
    assert "How to reproduce" in page and "yogurt.csv" in page
    code, out, _ = run(*said, "--focal", "dannon", "--price", 8, "--json")
    found = json.loads(out)
    for row in found["terms"]:
        assert row["Estimate"] == pytest.approx(
            float(PRINTED[row["term"]]), abs=2e-4
        )  # logitr stops short
    assert len(found["elasticity"]) == 16 and found["fit"]["clusters"] == 100
    assert found["elasticity_at"][0]["price_dannon"] == 8


@pytest.mark.parametrize("kind", ["parquet", "feather", "dta"])
def test_other_files_give_the_same_numbers(run, tmp_path, yogurt, kind):
    yogurt = yogurt.rename(columns={"case": "task"})  # case is a word of Stata's
    writers = {"parquet": yogurt.to_parquet, "feather": yogurt.to_feather}
    writers["dta"] = lambda path: yogurt.to_stata(path, write_index=False)
    writers[kind](tmp_path / f"own.{kind}")
    words = ("--case", "task", "--alternative", "brand", "choice ~ price", "--json")
    code, out, err = run("fit", f"own.{kind}", *words)
    assert code == 0, err
    assert json.loads(out)["fit"]["nobs"] == 2412


@pytest.mark.parametrize(
    "words",
    [
        ("--model", "nested", "--nest", "plain=dannon,hiland"),
        ("--model", "latent", "--classes", 2, "--panel", "id"),
        ("--model", "clogit", "--vcov", "CRV1:id", "--weights", "feat1"),
    ],
)
def test_other_models_have_their_options(run, tmp_path, yogurt, words):
    few = yogurt[yogurt["id"] < 40].assign(feat1=1)
    few.to_csv(tmp_path / "few.csv", index=False)
    code, out, err = run("fit", "few.csv", *WORDS, *words, "choice ~ price", "--cost", 4)
    assert code == 0, err
    assert "price elasticity" in out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("yogurtt.csv", "choice ~ price"), "did you mean 'yogurt.csv'"),
        (("yogurt.csv",), "give a formula"),
        (("yogurt.csv", "price"), "has no outcome"),
        (("yogurt.csv", "--choice", "chosen", "price"), "did you mean 'choice'"),
        (("yogurt.csv", "--choice", "feat", "choice ~ price"), "give one"),
        (("yogurt.csv", *WORDS, "choice ~ prise"), "did you mean 'price'"),
        (("yogurt.csv", "--case", "cases", "choice ~ price"), "did you mean 'case'"),
        (("yogurt.csv", *WORDS, "choice ~ feat"), "no price"),
        (("yogurt.csv", *WORDS, "choice ~ price", "--model", "clogti"), "did you mean 'clogit'"),
        (("yogurt.csv", *WORDS, "choice ~ price", "--classes", 2), "classes goes with the model"),
        (("yogurt.csv", *WORDS, "choice ~ price", "--focal", "danon"), "no price of its own"),
        (("yogurt.csv", *WORDS, "choice ~ price", "--price", 8), "--focal"),
        (("yogurt.csv", *WORDS, "choice ~ price", "--outcome", "belief"), "is of panels"),
        (("yogurt.csv", *WORDS, "choice ~ price", "--out", "yogurt.csv"), "is a file"),
        (("empty.csv", "choice ~ price"), "the file is empty"),
        (("gaps.csv", *WORDS, "choice ~ price"), "missing"),
        (("text.csv", *WORDS, "choice ~ price"), "holds text such as '$8.1'"),
        (("panel.parquet", "choice ~ price"), "is a panel"),
        (("panel.parquet", "--case", "case"), "is a panel"),
        (("own.parquet",), "no panel"),
    ],
)
def test_mistakes_are_one_line_and_exit_code_2(run, tmp_path, yogurt, words, said):
    few = yogurt.head(400)
    (tmp_path / "empty.csv").write_text("")
    few.assign(price=few["price"].where(few.index > 3)).to_csv(tmp_path / "gaps.csv", index=False)
    few.assign(price="$" + few["price"].astype(str)).to_csv(tmp_path / "text.csv", index=False)
    ld.load_panel("pampers").write(tmp_path / "panel.parquet")
    few.to_parquet(tmp_path / "own.parquet")
    code, _, err = run("fit", *words)
    assert code == 2 and said in err and len(err.strip().splitlines()) == 1, err


def test_refusals_in_python(fit, yogurt):
    with pytest.raises(UsageError, match="no price of its own"):
        ld.demand_report(fit, alternative="milk")
    without = ld.clogit("choice ~ feat", yogurt, case="case", alternative="brand")
    with pytest.raises(DesignError, match="price"):
        ld.demand_report(without)
    with pytest.raises(DesignError, match="of respondents"):
        fit_own("choice ~ price", yogurt, respondent="idd")


def test_a_binary_logit_has_an_indifference_price(run, tmp_path):
    rows = {"cost": [1, 2, 3, 4] * 6, "buy": [1, 1, 1, 0, 1, 1, 0, 0, 1, 0, 1, 0] * 2}
    pd.DataFrame(rows).to_csv(tmp_path / "bin.csv", index=False)
    fit = ld.logit("buy ~ cost", pd.DataFrame(rows))
    words = ("--price-column", "cost", "--cost", 1, "--price", 2, "--out", "r", "--json")
    code, out, err = run("fit", "bin.csv", "buy ~ cost", *words)
    assert code == 0, err
    found = json.loads(out)
    half = -fit.params["const"] / fit.params["cost"]
    assert found["indifference_price"][0]["estimate"] == pytest.approx(half)
    at = float(fit.elasticity(price="cost", at={"cost": 2}))
    assert found["elasticity_at"][0]["estimate"] == pytest.approx(at)
    assert "half buy there" in (tmp_path / "r" / "report.html").read_text("utf-8")
