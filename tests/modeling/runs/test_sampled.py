"""A panel in shards is fitted as the panel, whatever its parts hold and whoever reads them."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest

import llmdemand as ld
from llmdemand.core.panel import Panel
from llmdemand.core.shards.shards import PanelShards, write_shards
from llmdemand.errors import DesignError, PanelError, UsageError


@pytest.fixture(scope="module")
def panel():
    """Two prices, respondents, refusals in one block, runs that change their mind."""
    study = ld.load_study("pampers")
    found = ld.simulate(study, "synthetic", runs=6, seed=3)
    frame, rng = found.frame.copy(), np.random.default_rng(5)
    frame.loc[:39, "status"] = "refusal"
    frame.loc[:39, ["choice", "final_choice"]] = None
    frame.loc[:39, [c for c in frame.columns if c.startswith("belief_")]] = np.nan
    frame.loc[:39, "pivot_index"] = -1
    frame.loc[:39, "final_status"] = "unread"
    turned = rng.choice(np.arange(40, len(frame)), 25, replace=False)
    other = dict(zip(study.menu.ids, [*study.menu.ids[1:], study.menu.ids[0]], strict=True))
    frame.loc[turned, "final_choice"] = frame.loc[turned, "choice"].map(other)
    frame["shift"] = rng.choice(["day", "night"], len(frame))
    return Panel(frame, study, found.provenance)


@pytest.fixture(scope="module")
def shards(panel, tmp_path_factory):
    """The first part holds refusals alone, the second nothing; the last comes first."""
    folder = tmp_path_factory.mktemp("panel")
    ends = [0, 40, 40, 100, 101, len(panel)]
    for k, (a, b) in enumerate(pairwise(ends)):
        part = panel.frame.iloc[a:b].reset_index(drop=True)
        replace(panel, frame=part).write(folder / f"{9 - k}.parquet")
    return PanelShards.open(folder)


def same(found, one, digits=1e-9):
    assert list(found.params.index) == list(one.params.index)
    for name in ("nobs", "dropped", "vcov", "ssc", "df", "clusters", "notes", "title", "prices"):
        assert getattr(found, name) == getattr(one, name), name
    np.testing.assert_allclose(found.params, one.params, rtol=digits)
    largest = np.abs(one.cov.to_numpy()).max()
    np.testing.assert_allclose(found.cov, one.cov, rtol=digits, atol=digits * largest)
    np.testing.assert_allclose([found.llf, found.llnull], [one.llf, one.llnull], rtol=digits)


@pytest.mark.parametrize("reading", ["final", "pivot"])
@pytest.mark.parametrize("outcome", ["belief", "choice"])
@pytest.mark.parametrize("model", ["logit", "clogit", "mnlogit"])
def test_fits_of_shards_are_fits_of_the_panel(panel, shards, model, outcome, reading):
    how = {"model": model, "outcome": outcome, "reading": reading}
    same(ld.fit_demand(shards, **how), ld.fit_demand(panel, **how))


@pytest.mark.parametrize(
    ("outcome", "how"),
    [
        ("belief", {"formula": "log(price) + shift", "vcov": {"CRV1": "shift+cell"}}),
        ("choice", {"formula": "C(price)", "vcov": "HC3"}),
        ("choice", {"model": "clogit", "formula": "price | shift", "vcov": {"CRV1": "cell"}}),
        ("choice", {"model": "nested", "nests": {"diapers": ["pampers", "huggies"]}}),
    ],
)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_options_mean_the_same(panel, shards, outcome, how):
    try:
        one = ld.fit_demand(panel, outcome, **how)
    except (DesignError, UsageError) as error:
        with pytest.raises(type(error)) as raised:
            ld.fit_demand(shards, outcome, **how)
        assert str(raised.value) == str(error)
        return
    same(ld.fit_demand(shards, outcome, **how), one, 1e-7)


def test_what_follows_from_a_fit_follows(panel, shards):
    one, found = ld.fit_demand(panel), ld.fit_demand(shards)
    assert found.summary() == one.summary()
    for ask in (lambda d: d.elasticity(35), lambda d: d.optimal_price(20)):
        pd.testing.assert_frame_equal(ask(found).table, ask(one).table)


def test_tastes_are_those_of_whole_respondents(tmp_path):
    whole = ld.load_panel("pampers")
    kept = whole.frame["persona_id"].isin(sorted(whole.frame["persona_id"].unique())[:8])
    whole = replace(whole, frame=whole.frame[kept].reset_index(drop=True))
    how = {"model": "mixed", "outcome": "choice", "draws": 25, "reading": "pivot"}
    one = ld.fit_demand(whole, **how)
    # The situations of a respondent lie in several parts.
    same(ld.fit_demand(write_shards(whole, tmp_path / "panel", rows=50), **how), one)


def test_texts_are_not_read(shards, monkeypatch):
    def refuse(self):
        raise AssertionError("a whole part is read")

    monkeypatch.setattr("llmdemand.core.shards.part.Part.panel", refuse)
    ld.fit_demand(shards)


def test_a_run_in_two_parts_is_refused(panel, tmp_path):
    write_shards(panel, tmp_path / "panel", rows=100)
    twice = replace(panel, frame=panel.frame.iloc[[-1]].reset_index(drop=True))
    for path in (tmp_path / "panel").glob("*.parquet"):
        path.rename(path.with_name(path.name.partition("-of-")[0] + ".parquet"))
    twice.write(tmp_path / "panel" / "z.parquet")
    name = panel.frame["run_id"].iloc[-1]
    with pytest.raises(PanelError, match=rf"{name}' is in .*part-0.* and in .*z\.parquet"):
        ld.fit_demand(PanelShards.open(tmp_path / "panel"))


def test_what_needs_all_runs_at_once_says_so(panel, shards, tmp_path):
    with pytest.raises(UsageError, match=r"coefficient='tuned'.*shards\.panel"):
        ld.fit_demand(shards, coefficient="tuned")
    with pytest.raises(UsageError, match="statuses"):
        ld.fit_demand(shards, reading="final", statuses=["ok"])
    refusals = replace(panel, frame=panel.frame.iloc[:40])
    for outcome in ("belief", "choice"):
        with pytest.raises(DesignError, match=r"no usable run among 40 \(statuses: .*refusal"):
            ld.fit_demand(write_shards(refusals, tmp_path / outcome, rows=15), outcome)
