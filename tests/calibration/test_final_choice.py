"""Calibration by the final choice, where a tenth of the answers change their mind."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from llmdemand import calibrate, debias, discrepancy, load_study, simulate
from llmdemand.calibration.recalibrate import recalibrated
from llmdemand.calibration.samples.entries import belief_rows
from llmdemand.core.study import Study
from llmdemand.errors import DesignError, UsageError

HUMANS, ALL = 60, 300
PRICES = (30.0, 34.0, 38.0, 42.0)


def logistic(x):
    return 1 / (1 + np.exp(-x))


@pytest.fixture(scope="module")
def skeleton():
    """Respondents who are asked four prices, once each."""
    table = pd.DataFrame({"respondent_id": [f"r{k}" for k in range(ALL)]})
    data = load_study("pampers").with_respondents(table).to_dict()
    data["alternatives"][0]["price"] = list(PRICES)
    return simulate(Study.from_dict(data), "synthetic", runs=1, seed=1)


def told(skeleton, rng, unread=0.0):
    """Humans, and a panel whose answers end with huggies in a tenth of those for pampers.

    The share of pampers at the end is known: 0.9 times the belief at the pivot.
    """
    frame = skeleton.frame.copy()
    who = frame["respondent_id"].str[1:].astype(int).to_numpy()
    price = frame["price_pampers"].to_numpy()
    taste = rng.standard_normal(ALL)[who]
    b = logistic(-0.2 * (price - 36) + 0.5 + 1.5 * taste)
    pivot = np.where(rng.random(len(frame)) < b, "pampers", "huggies")
    final = np.where((pivot == "pampers") & (rng.random(len(frame)) < 0.1), "huggies", pivot)
    lost = rng.random(len(frame)) < unread
    frame["belief_pampers"], frame["belief_huggies"], frame["belief_neither"] = b, 1 - b, 0.0
    frame["choice"] = pivot
    frame["final_choice"] = np.where(lost, None, final)
    frame["final_status"] = np.where(lost, "unread", "read")
    frame["mismatch"] = pd.array(np.where(lost, None, final != pivot), dtype="boolean")
    panel = replace(skeleton, frame=frame)
    human = who < HUMANS
    y = rng.random(len(frame)) < logistic(-0.3 * (price - 36) + 1.5 * taste)
    people = pd.DataFrame(
        {"respondent_id": frame["respondent_id"], "price": price, "choice": y.astype(float)}
    )[human].reset_index(drop=True)
    return people, panel


def share(price, slope, add, factor=1.0):
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)
    p = logistic(slope * (price - 36) + add + 1.5 * nodes)
    return factor * float(p @ weights / weights.sum())


@pytest.mark.parametrize("unread", [0.0, 0.2])
def test_the_llms_share_is_that_of_its_final_choices(skeleton, unread):
    rng, gaps = np.random.default_rng(1), {"final": [], "pivot": []}
    truth = np.mean([share(p, -0.2, 0.5, 0.9) for p in PRICES])
    errors = []
    for _ in range(25):
        _, panel = told(skeleton, rng, unread)
        for reading, found in gaps.items():
            rows = belief_rows(panel, "logit", "respondent_id", None, reading, [])
            found.append(rows["belief"].mean() - truth)
            if reading == "final":
                errors.append(rows["belief"].std() / np.sqrt(len(rows)))
    final, pivot = (np.array(gaps[r]) for r in ("final", "pivot"))
    assert abs(final.mean()) < 4 * final.std(ddof=1) / 5
    assert pivot.mean() > 0.04 and pivot.mean() > 8 * pivot.std(ddof=1) / 5
    # Rows of a respondent hang together, so that plain errors are too short, but not by much.
    assert 1 < final.std(ddof=1) / np.mean(errors) < 2.5


@pytest.mark.parametrize("reading", ["final", "pivot"])
def test_the_calibrated_share_is_the_humans_whatever_the_llm_says(skeleton, reading):
    rng, found = np.random.default_rng(2), []
    truth = share(38.0, -0.3, 0.0)
    for _ in range(40):
        people, panel = told(skeleton, rng, 0.1)
        said = debias(
            lambda f, y: f.loc[f["price"] == 38.0, y].mean(),
            people,
            panel,
            reading=reading,
            groups=20,
        )
        found.append(said.table["estimate"].iloc[0])
    assert abs(np.mean(found) - truth) < 4 * np.std(found, ddof=1) / np.sqrt(40)


def test_corrected_beliefs_are_taken_everywhere_and_never_clipped(skeleton):
    people, panel = told(skeleton, np.random.default_rng(3), 0.1)
    found = calibrate(people, panel, target="share", at=38.0)
    f = found.moments.pairs.pool.f
    assert f.min() < 0 and f.max() > 1
    assert "belief is corrected by the final choices of rules" in " ".join(found.notes)
    assert "are read as no choice" in " ".join(found.notes)
    plain = calibrate(people, panel, target="share", at=38.0, reading="pivot")
    assert plain.moments.pairs.pool.f.max() < 1
    gap = plain.table.loc["LLM only", "estimate"] - found.table.loc["LLM only", "estimate"]
    assert gap > 0.02
    seen = discrepancy(people, panel, margin=0.1)
    wanted = belief_rows(panel, "logit", "respondent_id", None, "final", [])
    means = wanted.groupby("price")["belief"].mean()
    np.testing.assert_allclose(seen.curve["llm"], means)
    assert recalibrated(people, panel, target="share", at=38.0).table["se"].notna().all()
    with pytest.raises(DesignError, match="corrected beyond"):
        recalibrated(people, panel, link="logit")


@pytest.mark.filterwarnings("ignore:alternative 2 is 4 of 240 human answers")
def test_choice_sets_take_them_too(skeleton):
    people, panel = told(skeleton, np.random.default_rng(4), 0.1)
    huggies = panel.frame["belief_huggies"]
    panel = replace(
        panel, frame=panel.frame.assign(belief_huggies=0.9 * huggies, belief_neither=0.1 * huggies)
    )
    menu = panel.study.menu.ids
    long = pd.concat(
        [
            people.assign(
                alternative=a,
                task=people["price"],
                choice=people["choice"] if a == "pampers" else 1 - people["choice"],
                price=people["price"] if a == "pampers" else 30.0,
            )
            for a in menu[:2]
        ]
    )
    long = pd.concat(
        [long, people.assign(alternative="neither", task=people["price"], choice=0.0, price=0.0)]
    )
    long.loc[(long["alternative"] == "neither") & (long["respondent_id"] == "r0"), "choice"] = 1.0
    long.loc[(long["alternative"] != "neither") & (long["respondent_id"] == "r0"), "choice"] = 0.0
    options = {"model": "clogit", "case": "task", "focal": "pampers", "base": "neither"}
    final = calibrate(long, panel, **options)
    sums = np.add.reduceat(final.moments.pairs.pool.f, final.moments.pairs.pool.start)
    np.testing.assert_allclose(sums, 1)
    assert final.moments.pairs.pool.f.min() < 0


def test_a_table_is_a_table_and_its_beliefs_are_probabilities(skeleton):
    people, panel = told(skeleton, np.random.default_rng(5))
    rows = belief_rows(panel, "logit", "respondent_id", None, "final", [])
    table = rows[["respondent_id", "price", "belief"]]
    with pytest.raises(DesignError, match=r"lie outside \[0, 1\]"):
        calibrate(people, table)
    with pytest.raises(UsageError, match="reading='final' is for a Panel"):
        calibrate(people, table.assign(belief=0.5), reading="final")


def test_prices_at_which_nothing_is_read_are_refused_by_name_of_the_remedy(skeleton):
    people, panel = told(skeleton, np.random.default_rng(6))
    frame = panel.frame.assign(final_choice=None, final_status="unread", mismatch=pd.NA)
    frame["mismatch"] = frame["mismatch"].astype("boolean")
    with pytest.raises(DesignError, match="have them read by a judge or by people"):
        calibrate(people, replace(panel, frame=frame), reading="final")
