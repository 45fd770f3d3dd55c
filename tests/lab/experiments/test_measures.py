"""Four measures of one consumer, whose truth is known."""

from dataclasses import replace

import numpy as np
import pytest

import llmdemand as ld
from llmdemand.errors import DesignError
from llmdemand.lab.ask import Respondent
from llmdemand.lab.experiments.measures import asks, measures, read, trigrams


@pytest.fixture(scope="module")
def found():
    return measures(runs=10, seed=4)


def test_log_probabilities_and_what_is_stated_agree_and_similarity_does_not(found):
    table = found.measures.set_index("measure")
    assert list(table.index) == ["logprob", "stated", "similarity", "choice"]
    assert table.loc["similarity", "p"] < 1e-6 < 1e-3 < table.loc["logprob", "p"]
    # A text that names its choice is a choice, drawn nearer to the middle.
    assert abs(table.loc["similarity", "price"]) < abs(table.loc["logprob", "price"])
    assert table.loc["logprob", "variance"] < table.loc["choice", "variance"] / 5
    assert found.holds and "CONTRADICT similarity" in found.verdict
    truth = found.cells[found.cells["measure"] == "logprob"]
    assert np.abs(truth["probability"] - truth["truth"]).max() < 0.2


def test_a_consumer_who_states_too_little_is_contradicted():
    dull = Respondent(consumer={"stated_sharpness": 0.3})
    found = measures(dull, runs=20, seed=4)
    assert "stated" not in found.agreeing and "logprob" in found.agreeing
    assert found.measures.set_index("measure").loc["stated", "slope"] > 1.2


def test_a_model_that_states_nothing_and_has_no_log_probabilities():
    asked, stated = asks(runs=2)
    turn = iter(range(10**6))

    def said(system, user):
        return ("I choose Pampers.", "I choose Huggies.", "Hm.")[next(turn) % 3]

    backend = ld.ChoiceOnlyBackend(said, "mute")
    panels = [ld.simulate(a.study, backend, runs=2, progress=False) for a in (asked, stated)]
    found = read(*panels, trigrams)
    assert "states no usable percentages: 0 of 32" in found.verdict
    assert "gives no log-probabilities" in found.verdict
    assert set(found.cells["measure"]) == {"similarity"}
    found.plot()
    with pytest.raises(DesignError, match="has a choice"):
        silent = ld.ChoiceOnlyBackend(lambda system, user: "Hm.", "silent")
        read(ld.simulate(asked.study, silent, runs=1, progress=False), panels[1], trigrams)


def test_the_files(found, tmp_path):
    written = {path.name for path in found.save(tmp_path)}
    assert {"measures.md", "measures.png", "measures-cells.csv"} <= written


def test_the_study_that_states_is_the_same_but_for_that():
    asked, stated = asks(replace(ld.load_study("pampers"), measure="choice"), runs=3)
    assert replace(stated.study, measure="logprob") == asked.study
