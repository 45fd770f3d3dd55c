"""Corrected beliefs of stopped answers in draws of runs: those of a panel of just these runs."""

import numpy as np
import pytest

from llmdemand.modeling.outcomes.corrected import Readings
from llmdemand.modeling.outcomes.redrawn import Redrawn
from llmdemand.modeling.outcomes.stopped import augmented


def drawn(rng, cells, runs, pi, changes=0.2, unread=0.0):
    """Three alternatives; belief varies by run and cell, a fifth ends with the next alternative."""
    n = cells * runs
    belief = rng.dirichlet([2.0, 1.0, 1.0], n)
    pivot = (rng.random(n)[:, None] > belief.cumsum(axis=1)).sum(axis=1)
    final = np.where(rng.random(n) < changes, (pivot + 1) % 3, pivot)
    final = np.where(rng.random(n) < unread, -1, final)
    stopped = rng.random(n) >= pi[pivot]
    return Readings(
        belief,
        pivot,
        np.where(stopped, -1, final),
        rng.random(n) < 0.9,
        whole=pi[pivot],
        stopped=stopped,
    )


def some(read, rows):
    return Readings(
        *(getattr(read, k)[rows] for k in ("belief", "pivot", "final", "ranked")),
        whole=read.whole[rows],
        stopped=read.stopped[rows],
    )


def placed(read, cells, runs):
    cell, place = np.divmod(np.arange(cells * runs), runs)
    return Redrawn.of(read, 0, cell, place, np.ones(cells * runs, bool))


def test_sums_of_a_draw_are_those_of_a_panel_of_its_runs():
    rng, cells, runs = np.random.default_rng(1), 4, 9
    read = drawn(rng, cells, runs, np.array([0.5, 0.8, 1.0]), unread=0.1)
    order = rng.random((3, cells, runs)).argsort(axis=2)
    last = np.array([1, 3, 8])
    found = placed(read, cells, runs).sums(order, last)
    assert [f.shape for f in found] == [(3, cells, 3)] * 6
    for b in range(3):
        for t, n in enumerate(last + 1):
            rows = (np.arange(cells)[:, None] * runs + order[b, :, :n]).ravel()
            cell, place = np.divmod(np.arange(cells * n), n)
            own = augmented(some(read, rows), cell, (place + cell) % 2)
            y, r = own.outcomes[:, 0], own.read
            for part, values in zip(found, (r, y, y**2, r**0, y * r, r**2), strict=True):
                np.testing.assert_allclose(part[b, :, t], np.bincount(cell, values), atol=1e-9)


def test_draws_with_nothing_to_learn_from_are_none():
    rng, cells, runs = np.random.default_rng(2), 2, 4
    read = drawn(rng, cells, runs, np.array([0.5, 0.5, 0.5]))
    stopped = np.array([False] + [True] * 7)
    final = np.where(stopped, -1, read.pivot)
    read = Readings(read.belief, read.pivot, final, read.ranked, whole=read.whole, stopped=stopped)
    with pytest.raises(ValueError, match="no whole answer to learn from"):
        augmented(read, np.arange(8) // 4, np.arange(8) % 2)
    order = np.tile(np.arange(runs), (1, cells, 1))
    assert not any(part.any() for part in placed(read, cells, runs).sums(order, np.array([3])))


def test_draws_spread_as_fresh_panels_do_and_what_is_learnt_once_does_not():
    """Sums of 4 cells of 6 runs, of which 1.5 are whole: 4,000 panels, and as many draws."""
    rng, cells, runs, pool = np.random.default_rng(3), 4, 6, 3000
    pi = np.full(3, 0.25)
    fresh = []
    for _ in range(4000):
        try:
            own = augmented(drawn(rng, cells, runs, pi), *halves(cells, runs))
        except ValueError:  # refused, as the draw is
            continue
        fresh.append(own.outcomes[:, 0].sum())
    read = drawn(rng, cells, pool, pi)
    # The first runs of a random order; few enough that draws hardly meet.
    order = rng.integers(pool, size=(4000, cells, runs))
    r, y = placed(read, cells, pool).sums(order, np.array([runs - 1]), squares=False)
    again = y.sum(axis=(1, 2))[r.sum(axis=(1, 2)) > 0]
    once = augmented(read, *halves(cells, pool)).outcomes[:, 0].reshape(cells, pool)
    once = np.take_along_axis(once[None], order, axis=2).sum(axis=(1, 2))
    # A variance of 4,000 has an error of 2.2 per cent, a ratio of two 3.2, a little more by tails.
    assert np.var(again) / np.var(fresh) == pytest.approx(1, abs=0.13)
    assert np.var(once) / np.var(fresh) < 0.8
    assert np.mean(again) / np.mean(fresh) == pytest.approx(1, abs=0.06)


def halves(cells, runs):
    cell, place = np.divmod(np.arange(cells * runs), runs)
    return cell, (place + cell) % 2
