"""The price of stopping answers at their pivot: what is said of it against what it is."""

import numpy as np
import pytest

from llmdemand.modeling.outcomes.corrected import Readings
from llmdemand.modeling.outcomes.stopped import (
    augmented,
    price,
    variance_of_stopping,
    whole_probability,
)


def drawn(rng, n, pi, changes=0.1):
    """Two alternatives; belief is .3 or .7, and a tenth of the answers end with the other one."""
    belief = np.where(rng.random(n) < 0.5, 0.3, 0.7)
    pivot = (rng.random(n) >= belief).astype(np.intp)
    final = np.where(rng.random(n) < changes, 1 - pivot, pivot)
    stopped = rng.random(n) >= pi
    return Readings(
        np.column_stack([belief, 1 - belief]),
        pivot,
        np.where(stopped, -1, final),
        np.ones(n, bool),
        whole=np.full(n, pi),
        stopped=stopped,
        written=np.where(stopped, 5.0, 20.0),
    )


def test_the_variance_is_what_repetition_shows():
    rng, n, means = np.random.default_rng(1), 400, {}
    said = []
    for pi in (1.0, 0.25):
        means[pi] = []
        for _ in range(600):
            read = drawn(rng, n, pi)
            found = augmented(read)
            means[pi].append(found.outcomes[:, 0].mean())
            if pi < 1:
                note = found.notes[-1]  # those before are of few changes
                said.append(note)
                assert "whole answers with probability" in note
    # Both are right on average (by symmetry the share is one half), stopping costs variance.
    for pi, values in means.items():
        assert abs(np.mean(values) - 0.5) < 4 * np.std(values) / np.sqrt(len(values)), pi
    ratio = np.var(means[0.25]) / np.var(means[1.0])
    # E's variance: q is 0.9 or 0.1, so 0.4 belief apart gives 0.16; m (1 - m) = 0.09.
    known = 0.8**2 * 0.2**2
    assert variance_of_stopping(0.25, 0.1, known) == pytest.approx(
        (known + 4 * 0.09) / (known + 0.09)
    )
    assert abs(ratio / variance_of_stopping(0.25, 0.1, known) - 1) < 0.25


def test_what_is_said_of_one_sample_is_near_it():
    read = drawn(np.random.default_rng(2), 20_000, 0.25)
    stratum = np.zeros(20_000, np.intp)
    found = augmented(read, stratum)
    first = 0.1 + 0.8 * read.belief
    said = price(read, first, found.outcomes, stratum)
    assert abs(said.share - 0.25) < 0.02 and abs(said.mismatch - 0.1) < 0.02
    assert abs(said.variance / variance_of_stopping(0.25, 0.1, 0.8**2 * 0.2**2) - 1) < 0.05
    # 5 tokens of three quarters, 20 of the others.
    assert abs(said.tokens - (0.75 * 5 + 0.25 * 20) / 20) < 0.02
    assert abs(said.best - whole_probability(0.1, 0.8**2 * 0.2**2, 0.25)) < 0.05
    assert "times that of whole answers for 4" in str(said)


def test_who_was_spared_counts_once():
    # Early pivots are always whole and change half the time, late ones hardly ever.
    rng, means = np.random.default_rng(3), []
    for _ in range(300):
        n = 400
        early = rng.random(n) < 0.2
        pivot = np.zeros(n, np.intp)
        final = np.where(rng.random(n) < np.where(early, 0.5, 0.05), 1, 0)
        pi = np.where(early, 1.0, 0.2)
        stopped = rng.random(n) >= pi
        read = Readings(
            np.tile([1.0, 0.0], (n, 1)),
            pivot,
            np.where(stopped, -1, final),
            np.ones(n, bool),
            whole=pi,
            stopped=stopped,
        )
        means.append(augmented(read).outcomes[:, 1].mean())
    assert abs(np.mean(means) - 0.14) < 4 * np.std(means) / np.sqrt(300)
