"""Stated panels: coherence, what reads them, and what refuses them."""

from dataclasses import replace

import pandas as pd
import pytest

import llmdemand as ld
from llmdemand.belief.measures.coherence import usable_words
from llmdemand.core.questionnaire.measure import MEASURES
from llmdemand.errors import DesignError, PanelError, StudyError, UsageError

PLAIN = ld.load_study("pampers")
STATED = replace(PLAIN, measure="stated")


@pytest.fixture(scope="module")
def stated():
    return ld.simulate(STATED, "synthetic", runs=20, seed=3)


def saying(*texts, study=STATED, runs=1):
    turn = iter(range(10**6))
    backend = ld.ChoiceOnlyBackend(lambda s, u: texts[next(turn) % len(texts)], "texts")
    return ld.simulate(study, backend, runs=runs, seed=1)


def test_the_study_names_its_measure_and_others_keep_their_hash():
    assert "measure" not in PLAIN.to_dict() and STATED.hash != PLAIN.hash
    assert ld.Study.from_dict(STATED.to_dict()) == STATED
    with pytest.raises(StudyError, match="did you mean 'stated'"):
        replace(PLAIN, measure="statd")
    branching = replace(PLAIN.sampling, branch=True)
    with pytest.raises(StudyError, match=r"sampling\.branch"):
        replace(STATED, sampling=branching)


@pytest.mark.parametrize("mode", ["chat", "completion"])
def test_the_request_follows_the_question_in_the_option_order(mode):
    study = replace(STATED, mode=mode)
    cell = study.cells()[0]
    for order in study.option_orders():
        system, user = study.prompt(cell, order)
        own_system, own = replace(study, measure="logprob").prompt(cell, order)
        assert system == own_system and user.startswith(own.rstrip())
        lines = [line for line in user.splitlines() if "<number>%" in line]
        assert lines == [f"{study.menu[a].label}: <number>%" for a in order]


def test_a_consumer_states_what_it_believes_in_round_numbers(stated):
    choices = ld.simulate(PLAIN, "synthetic", runs=20, seed=3)
    found = ld.check_coherence(stated, choices)
    assert found.usable == found.exact == 320 and found.fives == 1 and 0.3 < found.tens < 0.9
    assert abs(found.difference) < 0.05 and 0.8 < found.slope < 1.2 and not found.note
    assert len(found.own) == 16 and "slope" in found.summary()
    other = ld.simulate(PLAIN, "synthetic", runs=20, seed=3)
    other.provenance["model"] = "somebody"
    assert "ANOTHER model" in ld.check_coherence(stated, other).summary()


def test_a_consumer_who_is_too_sure_is_found_out():
    truth = ld.SyntheticBackend(STATED, stated_sharpness=3.0, stated_step=1.0)
    panel = ld.simulate(STATED, truth, runs=20, seed=3)
    choices = ld.simulate(PLAIN, "synthetic", runs=40, seed=5)
    found = ld.check_coherence(panel, choices)
    assert found.slope < 0.85 and found.fives < 0.9


def test_demand_that_rises_is_said():
    texts = [f"Pampers: {20 + 4 * k}%\nHuggies: {70 - 4 * k}%\nneither: 10%" for k in range(16)]
    found = ld.check_coherence(saying(*texts))
    assert found.rises == 15 and len(found.prices) == 16


def test_what_was_done_with_sums_is_in_the_status():
    panel = saying(
        "Pampers 60%, Huggies 30%, neither 10%",
        "Pampers 33%, Huggies 33%, neither 33%",
        "Pampers 60%, Huggies 60%, neither 30%",
        "Pampers 60%",
    )
    counts = panel.statuses
    assert counts[["ok", "rescaled", "bad_sum", "not_stated"]].tolist() == [4, 4, 4, 4]
    assert sorted(panel.frame["stated_sum"].dropna().unique()) == [99, 100, 150]
    assert len(panel.usable) == 8 and ld.fit_demand(panel).nobs == 8
    said = ld.check_coherence(panel).summary()
    assert "4 of 100 exactly, 4 of 100 up to rounding" in said and "4 of something else" in said
    assert "rescaled 4" in usable_words(panel)


def test_a_model_that_states_nothing_is_said_not_to():
    panel = saying("Pampers.", "I think so.")
    assert usable_words(panel).startswith("this model states no usable percentages: 0 of 16")
    assert "0 of 16" in ld.check_coherence(panel).summary()
    assert "0 of 16" in ld.audit(panel).summary()
    with pytest.raises(DesignError, match="states no usable percentages"):
        ld.fit_demand(panel)
    report = ld.compare(panel, runs=(1,), replications=20)
    assert not report.demands and "0 of 16" in " ".join(report.problems)


def test_what_reads_the_panel_says_what_it_is(stated, tmp_path):
    fit = ld.fit_demand(stated)
    assert fit.reading == "stated" and "stated probability (not model belief)" in fit.summary()
    assert -0.75 < fit.price_sensitivity < -0.4
    assert "stated probabilities" in ld.runs_needed(stated, replications=50).summary()
    assert "no choices" in ld.runs_needed(stated, replications=50).summary()
    audit = ld.audit(stated)
    assert audit.measure == "stated" and audit.equivalence is None
    assert "not model belief" in audit.summary()
    assert stated.provenance["measure"] == "stated"
    assert ld.plan(stated).outcome == "belief"
    market = ld.fit_demand(stated, model="clogit")
    assert market.reading == "stated"
    report = ld.compare(stated, runs=(1, 5), replications=20)
    assert report.choice is None and "not model belief" in report.verdict()
    report.to_html(tmp_path / "r.html")
    page = (tmp_path / "r.html").read_text("utf-8")
    assert "not model belief" in page and "measure: stated" in page


def test_what_needs_choices_or_a_pivot_refuses_in_words(stated):
    with pytest.raises(DesignError, match="measure is 'stated'"):
        ld.fit_demand(stated, "choice")
    for reading in ("pivot", "final", "similarity"):
        with pytest.raises(UsageError, match="stated"):
            ld.fit_demand(stated, reading=reading)
    with pytest.raises(UsageError, match="for panels of that measure"):
        ld.fit_demand(ld.load_panel("pampers"), reading="stated")
    for refused in (ld.prediction, ld.variance, ld.check_equivalence):
        with pytest.raises(DesignError, match="measure is 'stated'"):
            refused(stated)


def test_choices_alone_are_a_measure():
    panel = saying("Pampers, I'd say.", "Huggies.", study=replace(PLAIN, measure="choice"))
    assert panel.measure == "choice" and panel.statuses["no_logprobs"] == 16
    assert ld.fit_demand(panel, "choice").nobs == 16
    assert saying("Pampers.", study=PLAIN).measure == "choice"  # none came
    assert "choice" in ld.audit(panel).summary()
    with pytest.raises(UsageError, match="choices alone"):
        ld.check_coherence(panel)
    # A model with log-probabilities is asked for none either.
    believed = ld.simulate(replace(PLAIN, measure="choice"), "synthetic", runs=1)
    assert believed.measure == "choice" and believed.frame["belief_pampers"].isna().all()


def test_measures_are_not_mixed(stated):
    other = ld.simulate(PLAIN, "synthetic", runs=1)
    both = pd.concat([stated.frame, other.frame.assign(run_id="x" + other.frame["run_id"])])
    for study in (STATED, PLAIN):
        with pytest.raises(PanelError, match="several kinds"):
            ld.Panel(both, study)
    assert set(MEASURES) == {"logprob", "stated", "similarity", "choice"}


def test_choices_of_another_study_are_refused(stated):
    with pytest.raises(UsageError, match="other cells"):
        ld.check_coherence(stated, ld.load_panel("pampers"))
    with pytest.raises(UsageError, match="no run of choices has a choice"):
        ld.check_coherence(stated, stated)


def test_people_and_stated_probabilities(stated):
    people = ld.simulate(PLAIN, "synthetic", runs=2, seed=9).usable
    human = pd.DataFrame(
        {
            "respondent_id": range(len(people)),
            "price": people["price_pampers"],
            "choice": (people["choice"] == "pampers").astype(int),
        }
    )
    from llmdemand.calibration.samples.entries import belief_rows

    told = []
    rows = belief_rows(stated, "logit", "cell", "pampers", None, told)
    assert len(rows) == 320 and len(human) == 32
    assert "not model belief" in " ".join(told)
