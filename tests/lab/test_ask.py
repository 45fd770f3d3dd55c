"""Who answers the lab: the quick way gives what `simulate` gives, and nothing is asked unsaid."""

import pytest

from llmdemand.core.study import load_study
from llmdemand.errors import UsageError
from llmdemand.lab.ask import Ask, Respondent
from llmdemand.lab.registry import EXPERIMENTS, experiment
from llmdemand.lab.repeated import Experiments, jackknife_ratio, wilson
from llmdemand.simulation.backends.synthetic import SyntheticBackend
from llmdemand.simulation.run import simulate

STUDY = load_study("pampers")


def test_the_quick_way_is_what_simulate_gives():
    import pandas as pd

    ask = Ask("one", STUDY, 3, {"order_effect": 0.5, "raw_logprobs": True})
    quick = Respondent().panels([ask], seed=4)["one"]
    slow = simulate(
        STUDY, SyntheticBackend(STUDY, order_effect=0.5, raw_logprobs=True), runs=3, seed=4
    )
    pd.testing.assert_frame_equal(quick.frame, slow.frame)
    assert quick.provenance == slow.provenance


def test_a_stored_panel_is_read_in_both_ways(tmp_path):
    from dataclasses import replace

    import pandas as pd

    warm = replace(STUDY, sampling=replace(STUDY.sampling, temperature=0.5))
    ask = Ask("t", warm, 2, {"raw_logprobs": True}, recorded=True)
    quick = Respondent().panels([ask], seed=1)
    Respondent(store=tmp_path / "r.sqlite").panels([ask], seed=2)  # other runs, same names
    kept = Respondent(store=tmp_path / "r.sqlite").panels([ask], seed=1)
    assert set(quick) == set(kept) == {"t", "t as recorded"}
    for name in quick:
        columns = ["run_id", "belief_pampers", "choice", "status"]
        left, right = (
            p[name].frame[columns].sort_values("run_id", ignore_index=True) for p in (quick, kept)
        )
        pd.testing.assert_frame_equal(left, right)
    same = quick["t"].frame["belief_pampers"] == quick["t as recorded"].frame["belief_pampers"]
    assert not same.all()


def test_another_backend_is_asked_and_options_of_the_consumer_are_refused():
    made = []

    def maker(study):
        made.append(study.name)
        return SyntheticBackend(study, icc=0.5)

    who = Respondent(maker)
    assert not who.known and who.truth(Ask("a", STUDY, 1)) is None
    panel = who.panels([Ask("a", STUDY, 1, {"icc": 0.01})], seed=1)["a"]
    assert made and "correlation 0.5" in panel.provenance["model"]
    with pytest.raises(UsageError, match="known-truth consumer"):
        Respondent(maker, consumer={"icc": 0.1})


def test_estimates_add_up_and_seeds_and_runs_are_checked():
    asks = [Ask("a", STUDY, 2), Ask("b", STUDY, 3)]
    assert Respondent().estimate(asks, seed=1).asked == 80
    for runs, seed in ((0, 1), (1, -1)):
        with pytest.raises(UsageError):
            Respondent().panels([Ask("a", STUDY, runs)], seed=seed)


def test_progress_ends_at_one():
    told = []
    Respondent(progress=told.append).panels([Ask("a", STUDY, 40), Ask("b", STUDY, 1)], seed=1)
    assert told == sorted(told) and told[-1] == 1 and len(told) > 2


def test_experiments_add_up_to_the_panel():
    panel = Respondent().panels([Ask("a", STUDY, 6)], seed=1)["a"]
    parts, whole = Experiments.of(panel, 2), Experiments.of(panel)
    assert parts.n.shape == (3, 16) and whole.n.shape == (1, 16)
    for outcome in ("belief", "choice"):
        assert parts.total[outcome].sum(axis=0) == pytest.approx(whole.total[outcome][0])
    assert whole.total["choice"].sum() == (panel.frame["choice"] == "pampers").sum()


def test_ratio_of_variances():
    import numpy as np
    from scipy import stats

    rng = np.random.default_rng(1)
    inside = []
    for _ in range(200):
        b = rng.normal(size=100)
        ratio, lower, upper = jackknife_ratio(3 * rng.normal(size=100), b)
        assert lower < ratio < upper
        inside.append(lower < 9 < upper)
    assert 0.9 < np.mean(inside) < 0.99
    assert np.isnan(jackknife_ratio([1, 1, 1, 1], [1, 2, 3, 4])[0])
    assert np.isnan(jackknife_ratio([1, 2], [1, 2])[0])
    # The closed form of the left-out variances is what leaving out gives.
    x, y = rng.normal(size=(2, 12))
    ratios = [np.delete(x, k).var(ddof=1) / np.delete(y, k).var(ddof=1) for k in range(12)]
    se = np.sqrt(11 / 12 * ((np.log(ratios) - np.mean(np.log(ratios))) ** 2).sum())
    ratio, _, upper = jackknife_ratio(x, y)
    assert np.log(upper / ratio) == pytest.approx(stats.t.ppf(0.975, 11) * se)
    # Scaling an outcome scales its variance, exactly.
    assert jackknife_ratio(2 * b, b) == pytest.approx((4, 4, 4))
    assert wilson(0, 10)[0] == pytest.approx(0, abs=1e-12) and np.isnan(wilson(0, 0)[0])


def test_names_and_options():
    assert list(EXPERIMENTS) == [
        "equivalence",
        "variance",
        "downstream",
        "pivots",
        "temperature",
        "multi-token",
        "round-prices",
        "position",
        "measures",
    ]
    with pytest.raises(UsageError, match="did you mean 'pivots'"):
        experiment("pivot")
    with pytest.raises(UsageError, match="--study is not for"):
        experiment("pivots")(Respondent(), study="pampers")
    model = Respondent(SyntheticBackend(STUDY))
    assert len(experiment("round-prices").wanted(model)) == 1
    assert len(experiment("round-prices").wanted(Respondent())) == 5
