"""Expectation-maximisation: up at every step, and stopped where there is no maximum."""

from dataclasses import replace

import numpy as np
import pytest

from llmdemand.modeling.likelihood.cases import Cases
from llmdemand.modeling.optimum.ascent import ascend
from llmdemand.modeling.optimum.em import expectation_maximisation, maximised, running, split
from llmdemand.modeling.substitution.latent import LatentPanels
from llmdemand.modeling.substitution.panels import Panels
from llmdemand.modeling.substitution.sequences import observed_sequences, sequences_of_beliefs

pytestmark = pytest.mark.numbers
TRUTH = np.array([[-0.5, 1.0], [-2.5, -1.0]])


def sample(people=80, tasks=6, *, beliefs=False, seed=1, truth=TRUTH):
    rng = np.random.default_rng(seed)
    z = rng.normal(size=people)
    member = (rng.random(people) < 1 / (1 + np.exp(0.5 - z))).astype(int)
    x = rng.uniform(0, 2, (people, tasks, 3, 2))
    v = np.einsum("itjk,ik->itj", x, truth[member])
    u = v + rng.gumbel(size=v.shape)
    p = np.exp(v - v.max(axis=-1, keepdims=True))
    p /= p.sum(axis=-1, keepdims=True)
    y = p if beliefs else (u == u.max(axis=-1, keepdims=True)).astype(float)
    n = people * tasks
    labels, one = np.tile(np.arange(3), n), np.ones(n)
    cases = Cases(x.reshape(-1, 2), y.ravel(), np.arange(n) * 3, one, one, labels=labels)
    panels = Panels(cases, np.repeat(np.arange(people), tasks))
    chosen = sequences_of_beliefs(panels, 10) if beliefs else observed_sequences(panels)
    members = np.column_stack([np.ones(people), z])
    return LatentPanels(cases, panels, 2, members, np.ones(people), np.ones(people), chosen=chosen)


@pytest.mark.parametrize("beliefs", [False, True])
def test_the_likelihood_rises_at_every_step(beliefs):
    data = sample(beliefs=beliefs)
    for start in split(data, 4, 1, np.array([-1.0, 0.3])):
        found = expectation_maximisation(data, start, steps=40, gain=1e-6)
        assert (np.diff(found.path) > -1e-9).all()
        assert found.path[-1] == pytest.approx(data.llf(found.params), rel=1e-12)
        assert found.path[-1] > found.path[0] + 1


def test_it_leads_to_the_maximum_of_newtons_method():
    data = sample()
    start = split(data, 2, 1, np.array([-1.0, 0.3]))[0]
    slow = expectation_maximisation(data, start, steps=2000, gain=1e-11)
    fast = ascend(data, expectation_maximisation(data, start).params)
    assert fast.converged and fast.iterations < 12
    assert slow.path[-1] == pytest.approx(fast.llf, abs=1e-6)
    np.testing.assert_allclose(slow.params, fast.params, atol=2e-3)
    # A maximum stays where it is.
    _, posterior, outcomes = data.expected(fast.params)
    again = maximised(data, fast.params, posterior, outcomes)
    np.testing.assert_allclose(again, fast.params, atol=1e-6)


def test_random_starts_differ_and_repeat():
    data = sample()
    first, again = (split(data, 4, 7, np.array([-1.0, 0.3])) for _ in range(2))
    assert all((a == b).all() for a, b in zip(first, again, strict=True))
    assert len({tuple(s) for s in first}) == 4


def test_a_class_whose_choices_are_separated_runs_away():
    """Half of the people always take what has the second attribute: a slope of infinity."""
    data = sample(truth=np.array([[-0.5, 1.0], [-0.5, 1e5]]))
    start = np.array([-0.5, 1.0, -0.5, 8.0, 0.0, 0.0])
    found = expectation_maximisation(data, start, steps=300, gain=1e-7)
    place, direction = running(data, found.params)
    assert place == 1 and direction[1] > 0
    assert running(sample(), ascend(sample(), start[[0, 1, 0, 2, 4, 5]] - 0.5).params) is None


def test_a_class_without_people_is_told():
    data = sample()
    found = ascend(replace(data, classes=1), np.zeros(2)).params
    alone = np.concatenate([found, found + 5, [-60.0, 0.0]])
    assert running(data, alone)[0] == 1
    # The M step leaves alone what nobody tells anything of.
    _, posterior, outcomes = data.expected(alone)
    posterior[:, 1], outcomes[:, 1] = 0.0, 0.0
    assert maximised(data, alone, posterior, outcomes)[2:4].tolist() == alone[2:4].tolist()


def test_separated_membership_is_told():
    data = sample()
    z = data.members[:, 1]
    sure = replace(data, members=np.column_stack([np.ones(len(z)), np.where(z > 0, 1.0, -1.0)]))
    params = np.concatenate([TRUTH.ravel(), [0.0, 40.0]])
    assert running(sure, params)[0] == 2


def test_steps_count_respondents_as_often_as_they_are_weighted():
    data = sample(people=60)
    start = split(data, 1, 1, np.array([-1.0, 0.3]))[0]
    factor = 1.0 + np.arange(60) % 3
    found = expectation_maximisation(data.weighted(factor), start, steps=30, gain=1e-9)
    assert (np.diff(found.path) > -1e-9).all()
    _, posterior, outcomes = data.expected(start)
    ours = maximised(data.weighted(factor), start, posterior, outcomes)
    # Doubled and trebled people are their answers once more.
    again = replace(data, count=factor, cases=data.cases.weighted(factor[data.panels.respondent]))
    np.testing.assert_allclose(ours, maximised(again, start, posterior, outcomes), rtol=1e-6)
    assert np.abs(ours - maximised(data, start, posterior, outcomes)).max() > 1e-3
