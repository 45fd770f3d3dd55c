"""A session's workers stay from one question to the next."""

import os
import signal
import time

import numpy as np
import pandas as pd
import pytest

import llmdemand as ld
from llmdemand.errors import UsageError
from llmdemand.scale.merging import mapped
from llmdemand.scale.session import Session


def process(shard):
    return {os.getpid()}


def test_workers_stay_and_results_are_in_order():
    with Session(2) as session:
        first = session.map_merge(process, range(6), merge=set.union)
        assert os.getpid() not in first
        # Either may have been quick enough to do all of a question.
        assert len(session.map_merge(process, range(6), merge=set.union) | first) <= 2
        assert session.map_merge(str, range(6)) == "012345"
        # One that is killed between two questions is replaced.
        os.kill(first.pop(), signal.SIGKILL)
        assert session.map_merge(str, range(6)) == "012345"


def test_after_its_end_the_executor_works_as_ever():
    with Session(None) as session:
        pass
    assert session.map_merge(process, range(2), merge=set.union) == {os.getpid()}


def test_it_stands_where_an_executor_does(two):
    with Session(two) as borrowed:
        first = borrowed.map_merge(process, range(6), merge=set.union)
    # Those that lent them go on.
    assert set.union(first, *mapped(process, range(20), two)) >= first
    assert len(set.union(first, *mapped(process, range(20), two))) <= 2
    assert os.getpid() not in first


def failing(shard):
    if shard == 0:
        raise UsageError("no")
    time.sleep(0.05)
    return shard


def test_after_an_error_its_workers_go_on(two):
    with pytest.raises(UsageError, match="no"):
        list(mapped(failing, range(50), two))
    assert list(mapped(str, range(3), two)) == ["0", "1", "2"]


def test_a_session_on_a_cluster_keeps_one_client(dask_client):
    with Session(dask_client.scheduler.address) as session:
        client = session.at_work
        assert session.map_merge(len, ["a", "bb"]) == session.map_merge(len, ["abc"]) == 3
        assert session.at_work is client and client.status == "running"
    assert client.status == "closed" and dask_client.status == "running"


@pytest.fixture(scope="module")
def households():
    people = pd.DataFrame({"respondent_id": [f"r{k:02d}" for k in range(24)]})
    study = ld.load_study("pampers").with_respondents(people)
    return ld.simulate(study, ld.SyntheticBackend(study, persona_slope_sd=0.1), runs=2, seed=1)


def test_bootstraps_and_simulations_of_tastes_are_those_of_one_process(households, two):
    found = ld.tastes(households)
    for ask in (
        lambda **how: found.bias(replications=2, **how),
        lambda **how: found.willingness_to_pay(replications=4, **how).table,
        lambda **how: ld.spread_needed(households, runs=(1,), replications=2, **how).table,
    ):
        pd.testing.assert_frame_equal(ask(), ask(executor=two), check_exact=True)


def test_score_bootstraps_are_those_of_one_process(two, monkeypatch):
    rng = np.random.default_rng(3)
    rows = pd.DataFrame({"price": rng.normal(size=300), "shop": np.arange(300) % 12})
    noise = rng.gumbel(size=300) + rng.normal(size=12)[rows["shop"]]
    fit = ld.logit("y ~ price", rows.assign(y=(noise > rows["price"]) * 1), vcov={"CRV1": "shop"})
    one = fit.score_bootstrap("price = -0.5"), fit.score_interval("price")
    monkeypatch.setattr("llmdemand.modeling.variance.score_bootstrap._CHUNK", 1200)
    both = [
        fit.score_bootstrap("price = -0.5", executor=two),
        fit.score_interval("price", executor=two),
    ]
    for a, b in zip(one, both, strict=True):
        np.testing.assert_equal(vars(a), vars(b))
    assert np.isfinite([one[1].low, one[1].high]).all() and 0 < one[0].pvalue < 1
