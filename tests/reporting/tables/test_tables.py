"""Tables as people read them. Set UPDATE_SNAPSHOTS=1 to write the snapshots anew."""

import dataclasses
import io
import os
import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from llmdemand import SyntheticBackend, compare, load_study, simulate
from llmdemand.core.panel import STATUSES, Panel
from llmdemand.errors import UsageError
from llmdemand.reporting.tables import frames, tables
from llmdemand.reporting.tables.table import Table, render
from llmdemand.reporting.terminal import print_report

SNAPSHOTS = Path(__file__).parent / "snapshots"


@pytest.fixture(scope="module")
def report():
    panel = simulate(load_study("pampers"), "synthetic", runs=12, seed=5)
    return compare(panel, runs=(1, 5), replications=50, cost=18.0)


def same_as_snapshot(name, text):
    path = SNAPSHOTS / name
    if os.environ.get("UPDATE_SNAPSHOTS"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8"), f"UPDATE_SNAPSHOTS=1 writes {name} anew"


def printed(report, width, **options):
    stream = io.StringIO()
    print_report(report, "A note.", Console(width=width, file=stream), **options)
    return stream.getvalue()


def without(report, **parts):
    return dataclasses.replace(report, **parts)


@pytest.mark.parametrize("format", ["text", "markdown", "latex", "html"])
def test_rendered_tables_are_those_of_the_snapshot(report, format):
    suffix = {"text": "txt", "markdown": "md", "latex": "tex", "html": "html"}[format]
    text = "\n\n".join(render(table, format) for table in tables.all_tables(report))
    same_as_snapshot(f"tables.{suffix}", text + "\n")


@pytest.mark.parametrize("width", [80, 120])
def test_the_terminal_tells_the_story_of_the_snapshot(report, width):
    same_as_snapshot(f"terminal-{width}.txt", printed(report, width, folder="results"))


@pytest.mark.parametrize("width", [80, 120])
def test_nothing_in_the_terminal_is_cut_or_too_wide(report, width):
    text = printed(report, width)
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= width
    order = ["Data quality", "Demand from", "Precision by", "Runs needed", "Prediction of"]
    order += ["One belief run is worth", report.verdict()[:30]]
    places = [text.index(words) for words in order]
    assert places == sorted(places)


def test_columns_that_a_narrow_terminal_goes_without_are_named(report):
    text = " ".join(printed(report, 80).split())
    assert "Not shown in 80 columns: SE model, log score, bias" in text
    assert "Not shown" not in printed(report, 140)


def test_many_statuses_leave_the_questions_their_column(report):
    many = {name: 1234 + k for k, name in enumerate(STATUSES)}
    messy = dataclasses.replace(report.quality, statuses=many)
    text = printed(dataclasses.replace(report, quality=messy), 80)
    assert max(map(len, text.splitlines())) <= 80
    lines = text.splitlines()
    table = lines[lines.index("Data quality") : lines.index("Demand from all usable runs")]
    asked = " ".join(line[:30] for line in table)
    assert "readable answers" in asked and "runs" in asked, asked
    said = " ".join(" ".join(table).split())
    assert all(name in said for name in STATUSES), "no status is cut"


def test_the_files_are_named_where_the_folder_is(report):
    assert "Files in out/x/" in printed(report, 80, folder="out/x")
    assert "Files in" not in printed(report, 80)


def test_every_table_is_saved_with_full_numbers(report, tmp_path):
    tables.save_tables(report, tmp_path)
    found = tables.all_tables(report)
    expected = {
        "quality estimates regression pricing precision runs_needed cost prediction differences "
        "worth variance"
    }
    assert {" ".join(t.name for t in found)} == expected
    for table in found:
        saved = pd.read_csv(tmp_path / f"{table.name}.csv")
        assert list(saved.columns) == list(table.numbers.columns)
        assert render(table, "markdown") + "\n" == (tmp_path / f"{table.name}.md").read_text(
            encoding="utf-8"
        )
        assert render(table, "latex") + "\n" == (tmp_path / f"{table.name}.tex").read_text(
            encoding="utf-8"
        )
    precision = pd.read_csv(tmp_path / "precision.csv")
    pd.testing.assert_frame_equal(precision, report.precision.table)
    saved = pd.read_csv(tmp_path / "reach.csv")
    pd.testing.assert_frame_equal(saved, report.needed.reach, check_dtype=False)
    assert (tmp_path / "tables.md").read_text(encoding="utf-8").count("## ") == len(found)


def test_numbers_of_the_text_are_those_of_the_parts(report):
    regression = frames.regression_table(report).set_index("")
    place = list(regression.index).index("price")
    belief = report.belief
    assert regression["belief"].iloc[place] == f"{belief.params['price']:.3f}"
    assert regression["belief"].iloc[place + 1] == f"({belief.bse['price']:.3f})"
    assert regression.loc["covariance", "belief"] == belief.fit.vcov == "HC1"
    pricing = frames.pricing_table(report).set_index("quantity")
    wtp = belief.willingness_to_pay()
    expected = f"{float(wtp):.4g} [{wtp.lower:.4g}, {wtp.upper:.4g}]"
    assert pricing.loc["indifference price", "belief"] == expected
    assert "profit-maximising price at cost 18" in pricing.index
    one = report.prediction.table.iloc[0]
    shown = frames.prediction_table(report).iloc[0]
    assert shown["log score"] == f"{one['log_score']:.4f} ({one['log_score_se']:.4f})"


def test_the_published_figures_are_marked_and_only_beside_their_reconstruction(report):
    needed = {t.name: t for t in tables.all_tables(report)}["runs_needed"]
    assert list(needed.frame["published SE"]) == ["0.264", "138.090"]
    assert any("arXiv 2512.23184, GPT-4o, no result of this package" in n for n in needed.notes)
    panel = report.panel
    other = Panel(panel.frame, panel.study, {**panel.provenance, "backend": "openai"})
    needed = {t.name: t for t in tables.all_tables(without(report, panel=other))}["runs_needed"]
    assert "published SE" not in needed.frame and "138.090" not in render(needed, "text")


@pytest.mark.parametrize(
    ("part", "names"),
    [
        ("precision", {"precision"}),
        ("needed", {"cost"}),  # the runs needed are then those of the precision
        ("prediction", {"prediction", "differences"}),
        ("variance", {"worth", "variance"}),
    ],
)
def test_a_missing_part_leaves_out_its_tables(report, part, names, tmp_path):
    less = without(report, **{part: None})
    every = {t.name for t in tables.all_tables(report)}
    assert {t.name for t in tables.all_tables(less)} == every - names
    tables.save_tables(less, tmp_path)
    printed(less, 80)


def test_a_panel_of_refusals_is_told_and_no_traceback(report, tmp_path):
    panel = report.panel
    broken = Panel(panel.frame.assign(status="refusal"), panel.study, panel.provenance)
    nothing = compare(broken, runs=(1,), replications=5)
    assert [t.name for t in tables.all_tables(nothing)] == ["quality"]
    tables.save_tables(nothing, tmp_path)
    text = " ".join(printed(nothing, 80).split())
    assert "refusal 192" in text and nothing.problems
    assert text.count(" ".join(nothing.problems[0].split())) == 1, "said once"
    for make in (
        frames.precision_table,
        frames.needed_table,
        frames.prediction_table,
        frames.differences_table,
        frames.variance_table,
        frames.worth_table,
        frames.regression_table,
        frames.cost_table,
        frames.pricing_table,
        frames.estimates_table,
    ):
        assert make(nothing).empty


def test_separated_choice_is_words_in_every_format(report):
    panel = report.panel
    split = panel.frame["price_pampers"].lt(36).map({True: "pampers", False: "huggies"})
    frame = panel.frame.assign(choice=split, final_choice=split)
    found = compare(Panel(frame, panel.study, panel.provenance), runs=(1, 2), replications=20)
    named = {t.name: t for t in tables.all_tables(found)}
    assert r"$-\infty$" in render(named["estimates"], "latex")
    assert "-inf (separated)" in render(named["regression"], "text")
    assert frames.pricing_table(found)["choice"].eq("-").all()
    needed = frames.needed_table(found).set_index("outcome")["runs needed"]
    assert needed["choice"] == "no estimate to reach"


def test_formats_escape_what_they_would_read_as_marks():
    frame = pd.DataFrame({"a_b": ["<x> | 5 %", "-0.5"], "n": ["-inf", "1 & 2"]})
    assert r"a\_b" in render(frame, "markdown") and r"\<x\> \|" in render(frame, "markdown")
    assert "&lt;x&gt;" in render(frame, "html")
    latex = render(frame, "latex")
    assert r"5 \%" in latex and r"$-\infty$" in latex and r"1 \& 2" in latex and "$-0.5$" in latex
    titled = Table("t", "A & B_1", frame, frame, ("50 % <",))
    assert r"\caption{A \& B\_1}" in render(titled, "latex")
    assert "<caption>A &amp; B_1</caption>" in render(titled, "html")
    pd.testing.assert_frame_equal(render(titled, "frame"), frame)


def test_an_unknown_format_is_refused_with_the_known_ones():
    with pytest.raises(UsageError, match=r"format='markdwon'.*use one of text, markdown"):
        render(pd.DataFrame({"a": ["1"]}), "markdwon")


def test_every_latex_table_is_balanced(report):
    for table in tables.all_tables(report):
        text = render(table, "latex")
        begun, ended = (re.findall(rf"\\{w}{{(\w+)}}", text) for w in ("begin", "end"))
        assert sorted(begun) == sorted(ended) and {"table", "tabular"} <= set(begun)
        assert all(f"\\{rule}rule" in text for rule in ("top", "mid", "bottom"))
        columns = len(table.frame.columns)
        body = text.split(r"\midrule")[1]
        assert all(
            len(re.findall(r"(?<!\\)&", line)) == columns - 1
            for line in body.splitlines()
            if line.endswith(r"\\")
        )


def test_an_unknown_worth_is_not_made_up(report):
    fields = {f.name: getattr(report.variance, f.name) for f in dataclasses.fields(report.variance)}
    unknown = SimpleNamespace(
        **{**fields, "worth": np.nan, "worth_interval": (np.nan, np.nan), "notes": ("Why.",)}
    )
    worth = {t.name: t for t in tables.all_tables(without(report, variance=unknown))}["worth"]
    assert worth.notes == ("Why.",)


def test_answers_that_change_their_mind_are_counted_by_where_they_go():
    study = load_study("pampers")
    panel = simulate(study, SyntheticBackend(study, mismatch_rate=0.2, verbose=True), runs=6)
    found = compare(panel, runs=(1,), replications=5)
    table = frames.switches(found)
    assert int(table.to_numpy().sum()) == len(panel)
    frame, label = panel.frame, {a.id: a.label for a in study.menu}
    known = frame["choice"].notna() & frame["final_choice"].notna()
    same = (frame["choice"] == frame["final_choice"])[known]
    kept = sum(int(table.loc[x, x]) for x in label.values() if x in table.index)
    assert kept == int(same.sum()) < len(panel)
    assert "switches" in {t.name for t in tables.all_tables(found)}
    quiet = compare(simulate(study, "synthetic", runs=2), runs=(1,), replications=5)
    assert "switches" not in {t.name for t in tables.all_tables(quiet)}
