import json
import pickle
import re
from dataclasses import replace

import pandas as pd
import pytest

from llmdemand import compare, load_study, simulate
from llmdemand.cli.reports import kept_responses
from llmdemand.core.panel import Panel
from llmdemand.reporting.figures.figures import FIGURES
from llmdemand.reporting.figures.people import PEOPLE_FIGURES
from llmdemand.reporting.measures.quality import quality
from llmdemand.reporting.page.inspector import inspected
from llmdemand.reporting.tables import frames


@pytest.fixture(scope="module")
def report(synthetic_panel):
    return compare(synthetic_panel, runs=(1, 2, 5), replications=100)


def test_a_report_is_one_after_pickling_and_replacing(report):
    for again in (pickle.loads(pickle.dumps(report)), replace(report, cost=18.0)):
        assert type(again) is type(report) and again.verdict() == report.verdict()


def test_saved_tables_hold_the_numbers_of_the_report(report, tmp_path):
    report.save(tmp_path)
    saved = pd.read_csv(tmp_path / "tables" / "precision.csv")
    pd.testing.assert_frame_equal(saved, report.precision.table)
    estimates = pd.read_csv(tmp_path / "tables" / "estimates.csv", index_col=0)
    assert estimates.loc["belief", "price_sensitivity"] == pytest.approx(
        report.belief.price_sensitivity
    )
    assert Panel.read(tmp_path / "panel.parquet").frame.shape == report.panel.frame.shape
    # A report without human data has every figure but those on people.
    saved = {path.stem for path in (tmp_path / "figures").iterdir()}
    assert saved == set(FIGURES) - set(PEOPLE_FIGURES)
    for name in saved:
        assert (tmp_path / "figures" / f"{name}.png").read_bytes().startswith(b"\x89PNG")
        assert "<svg" in (tmp_path / "figures" / f"{name}.svg").read_text(encoding="utf-8")
    assert "## Data quality" in (tmp_path / "tables" / "tables.md").read_text(encoding="utf-8")


def test_a_report_is_all_of_its_parts_and_has_no_problems(report):
    assert report.problems == () and len(report.demands) == 2
    for part in (report.precision, report.needed, report.prediction, report.variance):
        assert part is not None
    runs = report.needed.table["runs"]
    assert runs.equals(report.precision.needed["runs"]), "both stand on the same draws"
    assert report._repr_html_().startswith("<p>Demand falls")


def test_progress_runs_from_nothing_to_all(synthetic_panel):
    done = []
    compare(synthetic_panel, runs=(1,), replications=20, progress=done.append)
    assert done == sorted(done) and 0 < done[0] < done[-1] == pytest.approx(1)


def test_figures_are_the_same_bytes_in_every_run(report):
    from llmdemand.reporting.figures.figures import render

    assert render(report, "demand", "svg") == render(report, "demand", "svg")


def test_the_demand_figure_shows_the_means_of_the_panel(report, synthetic_panel):
    axes = FIGURES["demand"][0](report)
    (means,) = [line for line in axes.lines if line.get_label() == "belief, mean of runs"]
    expected = synthetic_panel.frame.groupby("price_pampers")["belief_pampers"].mean()
    assert means.get_ydata() == pytest.approx(expected.to_numpy())


def altered(panel, **columns):
    if "choice" in columns:  # what was chosen stays to the end
        columns = {"final_choice": columns["choice"], **columns}
    return Panel(panel.frame.assign(**columns), panel.study, panel.provenance)


def test_the_verdict_tells_reaction_from_none(report, synthetic_panel):
    assert report.verdict().startswith("Demand falls with price: price sensitivity -0.5")
    frame = synthetic_panel.frame
    shuffled = frame[["choice", *frame.filter(like="belief_")]].sample(
        frac=1, random_state=1, ignore_index=True
    )
    none = compare(altered(synthetic_panel, **shuffled), runs=(1,), replications=20)
    assert none.verdict().startswith("No reaction to price can be shown")
    mirrored = altered(synthetic_panel, price_pampers=75 - frame["price_pampers"])
    assert compare(mirrored, runs=(1,), replications=20).verdict().startswith("Demand rises")


def test_a_separated_choice_is_a_result_and_not_a_crash(synthetic_panel, tmp_path):
    frame = synthetic_panel.frame
    split = frame["price_pampers"].lt(36).map({True: "pampers", False: "huggies"})
    report = compare(altered(synthetic_panel, choice=split), runs=(1, 2), replications=20)
    table = frames.estimates_table(report).set_index("outcome")
    assert table.loc["choice", "price coef."] == "-inf"
    report.to_html(tmp_path / "report.html")
    report.save(tmp_path)
    assert re.search(r"-inf", (tmp_path / "report.html").read_text(encoding="utf-8"))


def test_quality_counts_orders_statuses_and_locks(synthetic_panel):
    found = quality(synthetic_panel)
    assert found.statuses == {"ok": 480} and not found.position_locked
    first = synthetic_panel.frame["order"].str.split(">").str[0]
    locked = quality(altered(synthetic_panel, choice=first))
    assert locked.position_locked and locked.first_chosen == 1
    nothing = quality(altered(synthetic_panel, status="refusal"))
    assert nothing.readable == 0 and nothing.statuses == {"refusal": 480}


FEW = ("--replications", 20, "--runs", 1)


def without_pivots(panel, status):
    frame = panel.frame.assign(status=status, pivot_index=-1, pivot_token="")
    nothing = [c for c in frame if c.startswith(("belief_", "lo_", "hi_")) or c.endswith("_mass")]
    frame[nothing] = float("nan")
    return Panel(frame, panel.study, panel.provenance)


def test_compare_of_a_broken_panel_writes_the_page_and_says_what_is_wrong(
    run, synthetic_panel, tmp_path
):
    without_pivots(synthetic_panel, "refusal").write(tmp_path / "panel.parquet")
    code, out, _ = run("compare", "panel.parquet", "--out", "results", *FEW)
    assert code == 0 and "none of the 480 answers can be used" in " ".join(out.split())
    page = (tmp_path / "results" / "report.html").read_text(encoding="utf-8")
    assert "none of the 480 answers can be used" in page
    assert "llmdemand compare panel.parquet --out results" in page
    code, out, _ = run("compare", "panel.parquet", "--json", *FEW)
    found = json.loads(out)
    assert code == 0 and found["precision"] is None and found["estimates"] == []
    assert found["problems"][0].startswith("No demand from belief, choice, precision")


@pytest.mark.parametrize(
    ("out", "message"), [("file", "is a file"), ("file/below", "lies below a file")]
)
def test_results_need_a_folder(run, synthetic_panel, tmp_path, out, message):
    synthetic_panel.write(tmp_path / "panel.parquet")
    (tmp_path / "file").write_text("kept", encoding="utf-8")
    code, _, err = run("compare", "panel.parquet", "--out", out)
    assert code == 2 and message in err and err.startswith("error: ") and err.count("\n") == 1
    assert (tmp_path / "file").read_text(encoding="utf-8") == "kept"


def test_compare_shows_tokens_from_the_store_beside_the_panel(run, tmp_path):
    run("simulate", "pampers", "--backend", "synthetic", "--runs", 3, "--out", "panel.parquet")
    page = tmp_path / "results" / "report.html"
    code, _, _ = run("compare", "panel.parquet", "--out", "results", "--cost", 18, *FEW)
    assert code == 0 and "candidates listed at the pivot" in page.read_text(encoding="utf-8")
    assert "profit-maximising price at cost 18" in page.read_text(encoding="utf-8")
    moved = (tmp_path / "panel.responses.sqlite").rename(tmp_path / "elsewhere.sqlite")
    run("compare", "panel.parquet", "--out", "results", *FEW)
    assert "candidates listed at the pivot" not in page.read_text(encoding="utf-8")
    assert "response store, which was not at hand" in page.read_text(encoding="utf-8")
    run("compare", "panel.parquet", "--out", "results", "--store", moved.name, *FEW)
    assert "candidates listed at the pivot" in page.read_text(encoding="utf-8")
    code, _, err = run("compare", "panel.parquet", "--store", "panel.parquet", *FEW)
    assert code == 2 and "is no response store" in err


def test_answers_of_another_seed_in_the_store_are_not_shown_for_these(tmp_path):
    study, store = load_study("pampers"), tmp_path / "panel.responses.sqlite"
    panel = simulate(study, "synthetic", runs=2, seed=1, store=store)
    simulate(study, "synthetic", runs=2, seed=2, store=store)
    found = kept_responses(panel, tmp_path / "panel.parquet")
    beliefs = panel.frame.set_index("run_id")
    shown = [a for a in inspected(panel, found) if a.tokens]
    assert len(shown) == len(panel.usable)
    for answer in shown:
        pivot = answer.pieces[answer.pivot]
        mass = sum(c.probability for c in pivot.candidates if c.alternative == "pampers")
        expected = beliefs.loc[answer.run_id, "belief_pampers"] * answer.masses[0]
        assert mass == pytest.approx(expected)


@pytest.mark.parametrize(
    ("status", "said"),
    [("refusal", "the model declined"), ("no_logprobs", "--outcome choice")],
)
def test_an_audit_without_pivots_says_what_that_means(run, synthetic_panel, tmp_path, status, said):
    without_pivots(synthetic_panel, status).write(tmp_path / "panel.parquet")
    code, out, _ = run("audit", "panel.parquet")
    assert code == 0 and "no answer has a pivot" in out and said in out
    assert "Empty DataFrame" not in out and "nan" not in out


def test_an_audit_of_a_panel_in_which_nothing_varies_has_no_nan(run, synthetic_panel, tmp_path):
    certain = {"belief_pampers": 1.0, "belief_huggies": 0.0, "belief_neither": 0.0}
    altered(synthetic_panel, choice="pampers", **certain).write(tmp_path / "panel.parquet")
    code, out, _ = run("audit", "panel.parquet")
    assert code == 0 and "nothing to test" in out and "nan" not in out
