"""What a mean hides, as tables: every comparison that was made, and why the others were not."""

import pytest

import llmdemand as ld
from llmdemand.reporting.people import People
from llmdemand.reporting.tables.fidelity import fidelity_tables
from llmdemand.reporting.tables.people import people_tables


@pytest.fixture(scope="module")
def data():
    return ld.paired_panel(humans=100, llm=200, seed=1)


def test_every_comparison_has_a_table_with_its_numbers(data):
    found = ld.discrepancy(data.humans, data.beliefs, subgroups=["income"], reps=20).fidelity
    tables = {t.name.removeprefix("fidelity_"): t for t in fidelity_tables(found)}
    assert list(tables) == ["spread", "counts", "groups", "individuals", "held_out", "shares"]
    frames = [found.spread, found.counts.table, found.subgroups, found.individuals.table,
              found.held_out.table, found.held_out.prices]  # fmt: skip
    for table, frame in zip(tables.values(), frames, strict=True):
        assert table.title.startswith("Heuristic validation:") and len(table.frame) == len(frame)
        assert set(frame.columns) <= set(table.numbers.columns)
    row = found.spread.iloc[0]
    assert tables["spread"].frame["humans"][0] == f"{row['humans']:.4f}"
    assert f"{found.counts.distance:.3f}" in tables["counts"].notes[0]


def test_what_was_not_compared_says_why_and_what_was_done_stands_first():
    one = ld.paired_panel(humans=60, llm=200, answers=1, seed=1)
    found = ld.discrepancy(one.humans, one.beliefs, reps=20)
    calibrated = ld.calibrate(one.humans, one.beliefs, prompt_chosen_on="nobody", reps=2)
    people = People(calibrated, found.beside(calibration=calibrated.verdict()))
    tables = {t.name: t for t in people_tables(people)}
    assert "fidelity_spread" not in tables and "fidelity_individuals" in tables
    shown = tables["licences"].frame.set_index("what")
    assert shown.loc["heterogeneity", "found"].startswith("not compared: ")
    done = (shown["done"] == "yes").to_numpy()
    assert done[: done.sum()].all() and shown.loc["calibration", "done"] == "yes"
    assert "claims about people need calibration" in tables["licences"].notes[0]
