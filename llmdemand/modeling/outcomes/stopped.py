"""Corrected belief where answers were stopped at their pivot, some of them not."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from llmdemand.errors import DesignError, UsageError
from llmdemand.modeling.arrays import Array, Codes
from llmdemand.modeling.outcomes.corrected import Corrected, Readings, indicators, reservations

__all__ = [
    "STAYS",
    "Price",
    "augmented",
    "first_and_weight",
    "price",
    "variance_of_stopping",
    "whole_probability",
]

STAYS = 1.0  # observations' worth of prior belief that an answer keeps to its pivot


def augmented(
    readings: Readings, stratum: Codes | None = None, fold: Codes | None = None
) -> Corrected:
    """Corrected beliefs when a whole answer was drawn with a known probability.

    Parameters
    ----------
    readings : Readings
        `whole` is the probability pi of a whole answer, `stopped` says which were not drawn.
    stratum : (N,) int array, optional
        What is known before the pivot token is drawn, such as the cell, numbered from 0.
    fold : (N,) int array, optional
        0 or 1; by default runs in turn.

    Returns
    -------
    Corrected

    Raises
    ------
    UsageError
        For probabilities outside (0, 1], or a stopped answer whose probability is 1.
    DesignError
        If a fold has no whole answer to learn from.

    Notes
    -----
    ``b~_a = sum_k b_k q_a(k, w) + (R / pi) (1{F_a} - q_a(P, w))`` with R = 1 for whole answers
    and q_a(k, w) the share of those with pivot k that end with a, learnt in the other fold
    (augmented inverse probability weighting: Robins, Rotnitzky & Zhao 1994). Exact for any q
    that the run itself did not shape: the mean of the second part over R is ``1{F_a} - q_a(P)``,
    and that of q_a(P) over the pivot token is the first part. Where belief cannot be used, the
    pivot itself takes its place.

    Examples
    --------
    >>> n = 4
    >>> read = Readings(np.full((n, 2), 0.5), np.array([0, 1, 0, 1]), np.array([0, 1, -1, -1]),
    ...                 np.ones(n, bool), whole=np.full(n, 0.5),
    ...                 stopped=np.array([False, False, True, True]))
    >>> augmented(read, fold=np.array([0, 1, 1, 0])).outcomes.sum(axis=1).tolist()
    [1.0, 1.0, 1.0, 1.0]
    """
    size, n = readings.belief.shape[1], len(readings.pivot)
    stopped = np.zeros(n, bool) if readings.stopped is None else readings.stopped
    pi = np.ones(n) if readings.whole is None else np.asarray(readings.whole, np.float64)
    if not ((pi > 0) & (pi <= 1)).all() or (stopped & (pi >= 1)).any():
        raise UsageError(
            "the probability of a whole answer must lie in (0, 1], and below 1 where answers were "
            "stopped: ask with whole answers, or with a probability of them"
        )
    w = np.zeros(n, np.intp) if stratum is None else stratum
    fold = np.arange(n) % 2 if fold is None else fold
    final, reader = readings.choices, indicators(readings.final, size)
    first, weight = first_and_weight(readings)
    outcomes, known = np.empty((n, size)), np.empty((n, size))
    for k in (0, 1):
        here, there = fold == k, (fold != k) & ~stopped & (readings.pivot >= 0)
        if stopped[here].any() and not there.any():
            raise DesignError(
                "no whole answer to learn from in one half of the runs: ask for more of them"
            )
        q = _ends(reader[there], readings.pivot[there], w[there], 1 / pi[there], int(w.max()) + 1)
        expected = np.einsum("nk,nka->na", first[here], q[w[here]])
        at = q[w[here], np.maximum(readings.pivot[here], 0)]
        at = np.where(readings.pivot[here, None] >= 0, at, 0.0)
        outcomes[here] = expected + weight[here, None] * (final[here] - at)
        known[here] = expected
    read = np.round(outcomes.sum(axis=1), 12)  # 1 is 1, where all are read
    changes = int((readings.changed & ~stopped).sum())
    notes = (*reservations(readings), str(price(readings, known, outcomes, w)))
    return Corrected(outcomes, read, changes, "augmented", notes)


def first_and_weight(readings: Readings) -> tuple[Array, Array]:
    """Belief, or the pivot where it cannot be used, (N, A); and R / pi, (N,)."""
    pivot = indicators(readings.pivot, readings.belief.shape[1])
    first = np.where(readings.usable[:, None], readings.belief, pivot)
    pi = np.ones(len(pivot)) if readings.whole is None else np.asarray(readings.whole, np.float64)
    weight = 1 / pi
    return first, weight if readings.stopped is None else np.where(readings.stopped, 0.0, weight)


@dataclass(frozen=True)
class Price:
    """What stopping answers at their pivot cost and saved.

    Attributes
    ----------
    share : float
        Whole answers among all.
    variance : float
        Variance of corrected belief, relative to that of as many whole answers.
    tokens : float
        Tokens written, relative to those of whole answers; NaN where nobody counted them.
    mismatch : float
        Answers that end with another alternative than their pivot's, or are unread.
    best : float
        The probability of a whole answer that gives the least variance per token.
    """

    share: float
    variance: float
    tokens: float
    mismatch: float
    best: float

    def __str__(self) -> str:
        """One sentence."""
        text = (
            f"{100 * self.share:.3g} % of the answers are whole, and what they say is extended to "
            f"those that were stopped: the variance is {self.variance:.2g} times that of whole "
            "answers"
        )
        if np.isfinite(self.tokens):
            text += (
                f" for {100 * self.tokens:.0f} % of their tokens ({100 * self.mismatch:.2g} % "
                "change the choice or are unread; least variance per token: whole answers with "
                f"probability {self.best:.2g})"
            )
        return text


def price(readings: Readings, known: Array, outcomes: Array, stratum: Codes) -> Price:
    """What stopping cost and saved, by what was observed.

    Parameters
    ----------
    readings : Readings
        What was read; whole answers stand for those that were stopped, by their weight 1 / pi.
    known : (N, A) array
        Expected final choice given what is known before the pivot token.
    outcomes : (N, A) array
        Corrected beliefs.
    stratum : (N,) int array
        Within which the variance between runs is taken.

    Notes
    -----
    With e the part of b~ that only whole answers give, the variance is ``V + E[e^2]``, and that of
    whole answers, for which e would be smaller by pi, ``V + E[pi e^2]``, summed over alternatives.
    """
    n = len(known)
    pi = np.ones(n) if readings.whole is None else readings.whole
    stopped = np.zeros(n, bool) if readings.stopped is None else readings.stopped
    weight = np.where(stopped, 0.0, 1 / pi)
    size = np.bincount(stratum)
    mean = (
        np.column_stack([np.bincount(stratum, c) for c in known.T]) / np.maximum(size, 1)[:, None]
    )
    within = float(((known - mean[stratum]) ** 2).sum() / max(1, n - int((size > 0).sum())))
    extra = ((outcomes - known) ** 2).sum(axis=1)
    whole, now = within + float((pi * extra).mean()), within + float(extra.mean())
    mismatch = float(np.average(readings.changed & ~stopped, weights=weight))
    tokens, best = np.nan, np.nan
    if readings.written is not None and np.isfinite(readings.written).all():
        to_end = float(np.average(readings.written, weights=weight))
        tokens = float(readings.written.mean()) / to_end if to_end > 0 else np.nan
        if stopped.any() and to_end > 0:
            prefix = min(1.0, float(readings.written[stopped].mean()) / to_end)
            # Of one alternative: their variances are equal for two, and more alike than not.
            best = whole_probability(mismatch, within / known.shape[1], prefix)
    return Price(
        1 - float(stopped.mean()), now / whole if whole > 0 else 1.0, tokens, mismatch, best
    )


def variance_of_stopping(whole: float, mismatch: float, within: float) -> float:
    """Variance of corrected belief, relative to that of whole answers.

    Parameters
    ----------
    whole : float
        pi, the probability of a whole answer.
    mismatch : float
        m, share of answers that end with another alternative than their pivot's.
    within : float
        V, variance of the expected final choice between runs of a prompt.

    Returns
    -------
    float
        ``(V + m (1 - m) / pi) / (V + m (1 - m))``.

    Examples
    --------
    >>> [round(variance_of_stopping(pi, 0.02, 0.01), 1) for pi in (1, 0.25, 0.1, 0.05)]
    [1.0, 3.0, 7.0, 13.6]
    """
    noise = mismatch * (1 - mismatch)
    return (within + noise / whole) / (within + noise) if within + noise > 0 else 1.0


def _ends(final: Array, pivot: Codes, stratum: Codes, weight: Array, strata: int) -> Array:
    """``q[w, k, a]``: how answers with pivot k end; shrunken to all strata, and those to k."""
    size = final.shape[1]
    whole = np.zeros((size, size))
    np.add.at(whole, pivot, weight[:, None] * final)
    base = (whole + STAYS * np.eye(size)) / (np.bincount(pivot, weight, size)[:, None] + STAYS)
    cube, total = np.zeros((strata, size, size)), np.zeros((strata, size))
    np.add.at(cube, (stratum, pivot), weight[:, None] * final)
    np.add.at(total, (stratum, pivot), weight)
    return np.asarray((cube + STAYS * base) / (total[:, :, None] + STAYS))


def whole_probability(mismatch: float, within: float, prefix: float) -> float:
    """The probability of a whole answer that gives the least variance per token.

    Parameters
    ----------
    mismatch : float
        m, share of answers that end with another alternative than their pivot's.
    within : float
        V, variance of the expected final choice between runs of a prompt.
    prefix : float
        tau, the tokens up to the pivot as a share of those of a whole answer.

    Returns
    -------
    float
        ``min(1, sqrt(m (1 - m) tau / (V (1 - tau))))``; 1 where belief hardly varies: stopping
        never pays then.

    Examples
    --------
    >>> round(whole_probability(0.02, 0.05, 0.3), 3), whole_probability(0.02, 0.0, 0.3)
    (0.41, 1.0)
    """
    if not (0 <= mismatch <= 1 and within >= 0 and 0 < prefix <= 1):
        raise UsageError(
            f"mismatch {mismatch:g}, within {within:g}, prefix {prefix:g}: shares lie in [0, 1], "
            "variances are not negative, and a prefix has some tokens"
        )
    gain = within * (1 - prefix)
    if gain <= 0:
        return 1.0
    return min(1.0, float(np.sqrt(mismatch * (1 - mismatch) * prefix / gain)))
