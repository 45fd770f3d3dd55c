"""Belief corrected by the choice of the whole answer: unbiased whatever the text goes on to say.

With F the choice of the whole text by any reader, P the choice at the pivot, b the belief there
and z = 1{P} - b, whose mean given all that came before the pivot is zero,

    ``b~ = 1{F} - C z``,    so that  ``E[b~_a] = P(F = a)``  for every fixed C.

A run whose pivot or belief cannot be used has ``b~ = 1{F}``; one whose final choice is unread has
no 1{F}. Derived in docs/belief.md and confirmed by enumeration.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from llmdemand.errors import DesignError, UsageError, choose
from llmdemand.modeling.arrays import Array, Codes

__all__ = [
    "FEW",
    "Coefficient",
    "Corrected",
    "Readings",
    "corrected",
    "indicators",
    "reservations",
    "reserved",
    "surprise",
]

Coefficient = Literal["one", "tuned", "every-name"]

FEW = 10  # runs that change their mind, below which an interval is too short
_TUNE = 50  # runs from which a coefficient can be learnt


@dataclass(frozen=True)
class Readings:
    """What was read of N runs, A alternatives; -1 stands for none.

    Attributes
    ----------
    belief : (N, A) array
        Belief at the pivot; NaN where a run has none that can be used.
    pivot : (N,) int array
        Choice at the pivot.
    final : (N,) int array
        Choice of the whole text; -1 where the reader abstained, or the answer was stopped.
    ranked : (N,) bool array
        Whether the realised pivot token is among the ranked candidates that belief is made of.
    later : tuple of pairs
        Beliefs (N, A) and choices (N,) at the second, third, ... name of the text.
    whole : (N,) array
        Probability with which the whole answer was drawn; 1 for all by default.
    stopped : (N,) bool array
        Whether the answer was stopped at its pivot.
    written : (N,) array
        Tokens of the answer, as far as it was written.
    labelled : (N, A) array
        The final choice where people have labelled a sample: ``F~`` of
        `labelled.corrected_final`, whose mean is the labels'.
    """

    belief: Array
    pivot: Codes
    final: Codes
    ranked: NDArray[np.bool_]
    later: tuple[tuple[Array, Codes], ...] = ()
    whole: Array | None = None
    stopped: NDArray[np.bool_] | None = None
    written: Array | None = None
    labelled: Array | None = None

    @property
    def usable(self) -> NDArray[np.bool_]:
        """Runs whose belief at the pivot corrects their final choice."""
        return np.asarray(self.ranked & (self.pivot >= 0) & np.isfinite(self.belief).all(axis=1))

    @property
    def changed(self) -> NDArray[np.bool_]:
        """Runs that were read to the end and say something else than their pivot, or nothing."""
        end = np.ones(len(self.pivot), bool) if self.stopped is None else ~self.stopped
        size = self.belief.shape[1]
        differs = (self.choices != indicators(self.pivot, size)).any(axis=1)
        return np.asarray(end & (differs | (self.final != self.pivot)))

    @property
    def choices(self) -> Array:
        """``1{F = a}``, zero where nothing was read, or what the labels make of it; (N, A)."""
        if self.labelled is not None:
            return self.labelled
        return indicators(self.final, self.belief.shape[1])


@dataclass(frozen=True)
class Corrected:
    """Corrected beliefs.

    Attributes
    ----------
    outcomes : (N, A) array
        ``b~``: it may leave [0, 1], and sums to `read`.
    read : (N,) array
        ``r``: 1 for a final choice that was read, 0 for one that was not. Shares among readable
        answers are ``mean(b~) / mean(r)``.
    changes : int
        M, runs whose final choice is not that of the pivot, or unread: what the correction's
        precision rests on.
    coefficient : str
        ``one``, ``tuned`` or ``every-name``, with its value where it is a number.
    notes : tuple of str
        What the reader has to know.
    """

    outcomes: Array
    read: Array
    changes: int
    coefficient: str
    notes: tuple[str, ...] = ()


def indicators(codes: Codes, size: int) -> Array:
    """``1{code = a}`` by row, zero for -1; (N, A).

    >>> indicators(np.array([1, -1]), 2).tolist()
    [[0.0, 1.0], [0.0, 0.0]]
    """
    return np.asarray(codes[:, None] == np.arange(size), np.float64)


def surprise(belief: Array, choice: Codes, used: NDArray[np.bool_]) -> Array:
    """``z = 1{P} - b``, zero in runs that are not used; (N, A).

    Its mean is zero given what came before the token, as the choice there is drawn from b.
    """
    z = indicators(choice, belief.shape[1]) - np.where(used[:, None], belief, 0.0)
    return np.where(used[:, None], z, 0.0)


def corrected(
    readings: Readings, coefficient: Coefficient = "one", fold: Codes | None = None
) -> Corrected:
    """Corrected beliefs of runs whose whole answers are known.

    Parameters
    ----------
    readings : Readings
        What was read.
    coefficient : str
        ``one``: C = 1. ``tuned``: one number for all alternatives, ``c = sum Cov(1{F_a}, z_a) /
        sum Var(z_a)``, which is never worse than choice; learnt in the other fold, from 50 runs
        on. ``every-name``: a matrix for each name of the text, ``C = E[1{F} z'] E[z z']^+``.
    fold : (N,) int array, optional
        0 or 1: coefficients of one fold are learnt in the other, so that they do not depend on
        the runs that they correct; by default runs in turn.

    Returns
    -------
    Corrected

    Raises
    ------
    UsageError
        For an unknown `coefficient`, or answers that were stopped (see `stopped.augmented`).
    DesignError
        For too few runs to learn a coefficient.

    Notes
    -----
    Sums over alternatives: ``sum_a b~_a = r - 1' C z``, which is r for a single number as z
    sums to zero. One number per alternative would break it.

    Examples
    --------
    >>> read = Readings(np.array([[0.7, 0.3], [0.6, 0.4]]), np.array([0, 0]), np.array([0, 1]),
    ...                 np.array([True, True]))
    >>> corrected(read).outcomes.round(6).tolist()
    [[0.7, 0.3], [-0.4, 1.4]]
    """
    choose(coefficient, Coefficient, "coefficient")
    if readings.stopped is not None and readings.stopped.any():
        raise UsageError(
            f"{int(readings.stopped.sum())} answers were stopped at their pivot and have no final "
            "choice: correct them with the probability of a whole answer"
        )
    size = readings.belief.shape[1]
    final, reader = readings.choices, indicators(readings.final, size)
    read = final.sum(axis=1)
    names = [surprise(readings.belief, readings.pivot, readings.usable)]
    if coefficient == "every-name":
        names += [surprise(b, c, (c >= 0) & np.isfinite(b).all(axis=1)) for b, c in readings.later]
    changes, notes = int(readings.changed.sum()), reservations(readings)
    if coefficient == "one":
        # In this order nothing is rounded where no answer changes its mind.
        moved = final - indicators(readings.pivot, size)
        known = np.where(readings.usable[:, None], readings.belief + moved, final)
        return Corrected(known, read, changes, "one", notes)
    n = len(read)
    if n < _TUNE:
        raise DesignError(
            f"{n} runs: a coefficient is learnt from at least {_TUNE}; use coefficient='one'"
        )
    fold = np.arange(n) % 2 if fold is None else fold
    outcomes, shown = np.empty_like(final), []
    for k in (0, 1):
        here, there = fold == k, fold != k
        if coefficient == "tuned":
            z = names[0]
            below = float((z[there] ** 2).sum())
            # z has mean zero, so centring F alone leaves covariances and takes out noise; the
            # reader's own F, as which runs were labelled links the two folds.
            centred = reader[there] - reader[there].mean(axis=0)
            c = float((centred * z[there]).sum()) / below if below > 0 else 1.0
            outcomes[here] = final[here] - c * z[here]
            shown.append(f"{c:.3g}")
        else:
            wide = np.hstack(names)
            centred = reader[there] - reader[there].mean(axis=0)
            matrix = centred.T @ wide[there] @ np.linalg.pinv(wide[there].T @ wide[there])
            outcomes[here] = final[here] - wide[here] @ matrix.T
    text = f"tuned ({' and '.join(shown)})" if shown else f"every name ({len(names)} at most)"
    return Corrected(outcomes, outcomes.sum(axis=1), changes, text, notes)


def reservations(readings: Readings) -> tuple[str, ...]:
    """What is known of the correction's own precision."""
    unusable = int((~readings.usable & (readings.final >= 0)).sum())
    return reserved(int(readings.changed.sum()), unusable)


def reserved(m: int, unusable: int) -> tuple[str, ...]:
    """The same of m runs that change their mind, and so many without a usable belief."""
    notes = []
    if m == 0:
        notes.append(
            "no answer says anything else than its pivot: the correction is zero in this sample, "
            "and its own standard error is unknown, not zero"
        )
    elif m < FEW:
        notes.append(
            f"only {m} answers change their mind or are unread: intervals rest on them and are "
            f"short below {FEW} (coverage .78 at 5)"
        )
    if unusable:
        notes.append(f"{unusable} runs without a belief that can be used enter by their choice")
    return tuple(notes)
