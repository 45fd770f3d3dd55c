from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from llmdemand import audit, check_equivalence, load_study, simulate
from llmdemand.core.panel import Panel
from llmdemand.errors import DesignError, MenuError
from llmdemand.reporting.measures.quality import quality


def altered(panel, **columns):
    if "choice" in columns:  # what was chosen stays to the end
        columns = {"final_choice": columns["choice"], **columns}
    return Panel(panel.frame.assign(**columns), panel.study, panel.provenance)


def test_a_clean_panel(synthetic_panel):
    found = audit(synthetic_panel)
    assert (found.mismatches, found.checked) == (0, 480)
    assert not found.position_locked and found.orders == 2
    assert found.statuses.loc["ok", "runs"] == 480 and found.statuses["share"].sum() == 1
    # Each pivot token of the known-truth consumer means one alternative.
    assert ((found.tokens > 0).sum(axis=1) == 1).all()
    assert found.tokens.to_numpy().sum() == 480
    assert found.decided_mass.loc[0.5] == pytest.approx(0.96, abs=1e-3)
    assert "480" in found.summary()


def test_mismatches_are_counted_with_wilsons_interval(synthetic_panel):
    final = synthetic_panel.frame["choice"].astype(object).copy()
    wrong, unread = final.index[:12], final.index[12:15]
    final.loc[wrong] = "neither"
    final.loc[unread] = None
    mismatch = synthetic_panel.frame["mismatch"].copy()
    mismatch.loc[wrong] = True
    mismatch.loc[unread] = None
    status = final.notna().map({True: "read", False: "unread"})
    found = audit(
        altered(synthetic_panel, final_choice=final, final_status=status, mismatch=mismatch)
    )
    share, low, high = found.mismatch
    # Wilson's interval for 12 of 477, from its closed form.
    z, n, p = 1.959963984540054, 477, 12 / 477
    middle = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z * np.sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    assert (share, low, high) == pytest.approx((p, middle - half, middle + half))
    assert (found.checked, found.unread) == (477, 3)
    assert found.tokens["none"].sum() == 3 and found.tokens["neither"].sum() >= 12
    assert "3 choose was not read" in found.summary()


def test_a_position_lock_is_found_only_if_the_order_varies(synthetic_panel):
    first = synthetic_panel.frame["order"].str.split(">").str[0]
    locked = audit(altered(synthetic_panel, choice=first))
    assert locked.position_locked and "POSITION-LOCKED" in locked.summary()
    one = altered(synthetic_panel, choice="pampers", order="pampers>huggies>neither")
    assert not audit(one).position_locked


def test_panels_without_pivots_or_rows(synthetic_panel):
    frame = synthetic_panel.frame
    nothing = frame.assign(
        status="no_pivot",
        choice=None,
        pivot_index=-1,
        final_choice=None,
        final_status="unread",
        mismatch=None,
        **{c: np.nan for c in frame.filter(regex="^(belief|lo|hi)_|_mass$")},
    )
    found = audit(Panel(nothing, synthetic_panel.study))
    assert found.checked == 0 and np.isnan(found.mismatch[0])
    assert found.summary()
    with pytest.raises(DesignError, match="no rows"):
        audit(Panel(frame.iloc[:0], synthetic_panel.study))


def test_equivalence_holds_where_choices_follow_beliefs(synthetic_panel):
    found = check_equivalence(synthetic_panel)
    assert found.pvalue > 0.001 and found.chi2_pvalue > 0.001
    assert found.icc == pytest.approx(0.054, rel=0.4)
    cells = found.cells
    gap = cells["var_choice"] - cells["var_belief"] - cells["within"]
    assert abs(gap.mean()) < 0.01, "Var(y) = Var(b) + E[b(1-b)] on average"


def test_equivalence_is_rejected_when_choices_do_not_follow(synthetic_panel):
    frame = synthetic_panel.frame
    shifted = frame["choice"].where(np.arange(len(frame)) % 8 > 0, "pampers")
    found = check_equivalence(altered(synthetic_panel, choice=shifted))
    assert found.pvalue < 1e-4 and found.chi2_pvalue < 1e-4
    assert found.difference > 0.04


def test_the_tests_size_is_nominal_under_the_null(synthetic_panel):
    """Of the pivot's choices and of final ones alike, drawn anew from the beliefs."""
    rng = np.random.default_rng(5)
    belief = synthetic_panel.frame["belief_pampers"].to_numpy()
    rejected = []
    for _ in range(120):
        pivot, final = np.where(rng.random((2, len(belief))) < belief, "pampers", "huggies")
        found = check_equivalence(altered(synthetic_panel, choice=pivot, final_choice=final))
        rejected.append(
            (found.pvalue, found.chi2_pvalue, found.final_pvalue, found.final_chi2_pvalue)
        )
    overall, by_cell, final, final_by_cell = np.mean(np.array(rejected) < 0.05, axis=0)
    assert max(overall, final) < 0.11 and max(by_cell, final_by_cell) < 0.15


def test_equivalence_errors(synthetic_panel):
    with pytest.raises(MenuError, match="did you mean"):
        check_equivalence(synthetic_panel, "pamper")
    with pytest.raises(DesignError, match="no usable run"):
        check_equivalence(altered(synthetic_panel, status="refusal"))


def certain(panel, **columns):
    """The panel as if every run had been certain of its choice."""
    made = {}
    for a in panel.study.menu.ids:
        sure = (panel.frame["choice"] == a).astype(float)
        made |= {f"belief_{a}": sure, f"lo_{a}": sure, f"hi_{a}": sure}
    return altered(panel, **made, **columns)


def test_belief_that_equals_choice_in_every_run_is_said_with_the_reason(synthetic_panel):
    assert audit(synthetic_panel).note == check_equivalence(synthetic_panel).note == ""
    hidden = certain(synthetic_panel)
    assert "list more" in audit(hidden).note
    settled = certain(synthetic_panel, decided_mass=1.0, undecided_mass=0.0, tail_mass=0.0)
    assert "ask for the choice first" in check_equivalence(settled).note
    inside = synthetic_panel.frame["choice"].map(
        {"pampers": "pers", "huggies": "gies", "neither": "ther"}
    )
    split = certain(synthetic_panel, pivot_token=inside)
    assert "lie within a name" in audit(split).note and audit(split).note in audit(split).summary()
    # A single run that was in doubt is enough to compare.
    doubt = hidden.frame.copy()
    a, b = (f"belief_{x}" for x in synthetic_panel.study.menu.ids[:2])
    doubt.loc[0, [a, b]] = 0.5
    assert audit(Panel(doubt, synthetic_panel.study)).note == ""


def misread(panel, share=1.0, belief=None):
    """Answers whose pivot says Pampers and whose end says Huggies, a share of them."""
    rng = np.random.default_rng(2)
    final = np.where(rng.random(len(panel)) < share, "huggies", panel.frame["choice"])
    made = altered(panel, final_choice=final, mismatch=final != panel.frame["choice"])
    return made if belief is None else altered(made, **belief)


def test_belief_that_misreads_every_answer_is_found_out(synthetic_panel):
    found = check_equivalence(misread(synthetic_panel))
    assert found.pvalue > 0.01 and found.chi2_pvalue > 0.001, "the pivot agrees with itself"
    assert found.final_pvalue < 1e-6 and found.final_chi2_pvalue < 1e-6
    assert found.final_difference == pytest.approx(-synthetic_panel.frame["belief_pampers"].mean())
    assert (found.cells["mean_final"] == 0).all() and found.read == 480
    said = audit(misread(synthetic_panel)).summary()
    assert said.startswith("final choice minus belief at the pivot, 480 answers: mean -0.")
    assert "NOT THAT OF THE WHOLE ANSWER" in said and "misleads" in said
    assert "Keep all runs" in said
    # The same where belief is one number and nothing scatters.
    flat = {"belief_pampers": 0.7, "belief_huggies": 0.3, "belief_neither": 0.0}
    assert check_equivalence(misread(synthetic_panel, belief=flat)).final_pvalue < 1e-6


def test_final_choices_that_follow_belief_are_no_alarm(synthetic_panel):
    found = check_equivalence(synthetic_panel)
    assert found.final_difference == pytest.approx(found.difference)
    assert found.final_pvalue > 0.01 and found.final_chi2_pvalue > 0.001
    assert "NOT THAT" not in found.summary()
    # All agree with a belief that is nearly sure: no scatter is no evidence.
    sure = {"belief_pampers": 0.99, "belief_huggies": 0.01, "belief_neither": 0.0}
    agreed = altered(synthetic_panel, choice="pampers", **sure)
    assert check_equivalence(agreed).final_pvalue > 0.01


def test_stopped_and_unread_answers_have_no_final_choice_to_compare(synthetic_panel):
    stopped = altered(synthetic_panel, final_choice=None, final_status="stopped", mismatch=None)
    found = check_equivalence(stopped)
    assert found.read == 0 and np.isnan(found.final_pvalue)
    assert "is not known" in found.summary()
    assert audit(stopped).equivalence is not None


def test_whole_answers_of_unequal_probability_are_counted_by_its_inverse(synthetic_panel):
    # 20 answers spared for sure, all of which change; 20 of 80 late ones drawn, none of which does.
    frame = synthetic_panel.frame.head(100).reset_index(drop=True)
    early, stopped = frame.index < 20, frame.index >= 40
    frame["whole_probability"] = np.where(early, 1.0, 0.25)
    frame["final_status"] = np.where(stopped, "stopped", "read")
    other = np.where(frame["choice"] == "pampers", "huggies", "pampers")
    frame["final_choice"] = np.where(stopped, None, np.where(early, other, frame["choice"]))
    frame["mismatch"] = pd.array(np.where(stopped, None, early), dtype="boolean")
    part = replace(synthetic_panel, frame=frame)
    found = audit(part)
    assert (found.mismatches, found.checked, found.stopped) == (20, 40, 60)
    assert "20.0 % of all change their choice" in found.note
    assert quality(part).mismatch == pytest.approx(0.2)
    assert "of all change" not in audit(synthetic_panel).note


def test_a_surprise_where_belief_is_all_but_sure_is_no_proof_by_itself():
    """Three runs a cell: of 60 true panels about a twentieth has p < .05 by cell."""
    panel = simulate(load_study("pampers"), "synthetic", runs=3, seed=1)
    rng, frame, rejected = np.random.default_rng(5), panel.frame, []
    beliefs = frame[[f"belief_{a}" for a in panel.study.menu.ids]].to_numpy()
    for _ in range(60):
        drawn = (rng.random((len(frame), 1)) > beliefs.cumsum(axis=1)).sum(axis=1)
        names = np.array(panel.study.menu.ids, object)[drawn]
        made = frame.assign(choice=names, final_choice=names)
        rejected.append(check_equivalence(Panel(made, panel.study)).chi2_pvalue < 0.05)
    # Binomial(60, .05): more than 9 has probability .002.
    assert sum(rejected) <= 9
