"""The result of a calibration: quantities of demand, bootstrap, figures and tables."""

import pickle
from dataclasses import replace

import pytest

from llmdemand import calibrate, paired_panel

pytestmark = pytest.mark.numbers


@pytest.fixture(scope="module")
def found():
    data = paired_panel(humans=120, llm=600, answers=1, seed=1)
    return calibrate(data.humans, data.beliefs, target="elasticity", at=35)


def test_quantities_of_demand_are_those_of_the_table(found):
    told = found.table.loc["calibrated"]
    assert float(found.elasticity({"price": 35})) == pytest.approx(told["estimate"])
    drawn = found.elasticity({"price": 35}, ci="bootstrap", reps=60)
    assert float(drawn.se) == pytest.approx(told["se"], rel=0.35)


def test_a_calibration_is_one_after_pickling_and_replacing(found):
    for again in (pickle.loads(pickle.dumps(found)), replace(found, notes=())):
        assert type(again) is type(found) and again.verdict() == found.verdict()


def test_figures_show_all_estimators_and_the_shares_of_humans(found):
    labels = {line.get_label() for line in found.plot_demand().lines}
    assert {"humans only", "LLM only", "calibrated", "humans, share"} <= labels
    assert len(found.plot().get_yticks()) == 4


def test_summaries_have_the_warning_and_what_cannot_be_checked(found):
    for words in ("humans only", "naive pooling", "WARNING", "cannot be checked", "rho"):
        assert words in found.summary()
    assert r"\toprule" in found.to_latex() and "<table" in found._repr_html_()


def test_the_table_prints_every_column_in_a_narrow_terminal(found, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    text = str(found.table)
    assert all(column in text for column in found.table.columns) and "..." not in text
    assert max(map(len, text.splitlines())) <= 82
    assert type(found.table[["estimate"]]) is type(found.tidy())
