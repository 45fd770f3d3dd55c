"""Directions of the coefficients in which the data vary less than rounding about the fit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from llmdemand.errors import DesignError
from llmdemand.modeling.arrays import Array

__all__ = ["DATA", "Quiet", "cleaned", "noted", "quiet_directions", "refuse_quiet"]

Bools = NDArray[np.bool_]

DATA = "the data do not vary about the fit"

#: Standard error of a log-probability: half a unit of the sixth decimal, as they are recorded.
_ROUNDING = 5e-7
#: Smallest eigenvalue of a covariance that needs no second look, in units of coin tosses: forty
#: times what rounding of that size can give.
_SCREEN = 1e-11
_SHOWN = 6  # directions named


@dataclass(frozen=True)
class Quiet:
    """Combinations of the coefficients that have no noise.

    Attributes
    ----------
    root : (K, L) array
        T with ``T T'`` the covariance that errors of size 1 in each log-probability would
        give: ``params = T c``.
    spread : (L, L) array
        Q with ``T Q' Q T'`` the covariance (a small-sample factor apart).
    least : float
        ``r' params`` has no noise if ``|Q T' r| <= least |T' r|``.
    why : str
        What does not vary, as a clause.
    """

    root: Array
    spread: Array
    least: float = _ROUNDING
    why: str = DATA

    @property
    def axes(self) -> Array:
        """Orthonormal (L, F): ``axes' c`` are combinations without noise."""
        _, values, right = np.linalg.svd(self.spread)
        return np.asarray(right[values <= self.least].T)

    @property
    def everywhere(self) -> bool:
        """Whether there is noise in no direction at all."""
        return bool(self.axes.shape[1] == len(self.spread))

    def turned(self, back: Array) -> Quiet:
        """The same where the coefficients are ``back @ params``."""
        return replace(self, root=back @ self.root)

    def silent(self, rows: Array) -> Bools:
        """Which combinations ``rows @ params`` (M, K) have no noise, (M,) of bool.

        >>> quiet = Quiet(np.eye(2), np.diag([1.0, 1e-15]))
        >>> quiet.silent(np.array([[0.0, 5.0], [1e-3, 5.0]])).tolist()
        [True, False]
        """
        turned = rows @ self.root
        size = np.linalg.norm(turned, axis=1)
        noise = np.linalg.norm(turned @ self.spread.T, axis=1)
        return np.asarray((noise <= self.least * size) & (size > 0))

    @property
    def coefficients(self) -> Bools:
        """Which coefficients have no noise, (K,) of bool."""
        return self.silent(np.eye(len(self.root)))

    def among(self, matrix: Array) -> Array:
        """Combinations of the rows of `matrix` (q, K) that have no noise, (F', K)."""
        turned = matrix @ self.root
        length = np.linalg.norm(turned, axis=1)
        used = length > 0
        left, values, right = np.linalg.svd(turned[used] / length[used, None], full_matrices=False)
        rank = values > 1e-9 * values.max(initial=0.0)
        toward, noise, _ = np.linalg.svd(right[rank] @ self.spread.T)
        pick = toward[:, noise <= self.least].T
        weight = (pick / values[rank]) @ left[:, rank].T
        return np.asarray(weight @ (matrix[used] / length[used, None]))

    def named(self, terms: Sequence[str], rows: Array | None = None) -> tuple[str, ...]:
        """The directions, or combinations of coefficients (F, K), in words.

        Coefficients that have no noise stand alone; what is left is written as differences
        and sums of as few terms as elimination gives.

        >>> spread = np.array([[1.0, 1.0, 0.0], [0.0, 0.0, 1.0], [0.0, 0.0, 0.0]])
        >>> Quiet(np.eye(3), spread).named(["a", "b", "c"])
        ('a - b',)
        """
        if rows is None:
            found = np.asarray(np.linalg.lstsq(self.root.T, self.axes, rcond=None)[0].T)
            single = self.coefficients
        else:
            found, single = rows, np.zeros(len(terms), bool)
        unit = np.linalg.norm(self.root, axis=1)
        unit = np.where(unit > 0, unit, 1.0)
        scaled = found * unit
        names = [t for t, alone in zip(terms, single, strict=True) if alone]
        reduced = _reduced(np.where(single, 0.0, scaled), len(found) - len(names))
        return (*names, *(_written(row, terms) for row in reduced / unit))


def quiet_directions(
    cov: Array,
    information: Array,
    own: Callable[[], Array],
    rows: Callable[[], Array],
    unit: Callable[[], Array],
    *,
    why: str = DATA,
    heaviest: float = 1.0,
) -> tuple[Quiet, ...]:
    """Directions in which a covariance is made of rounding.

    Parameters
    ----------
    cov : (K, K) array
        The covariance of the coefficients.
    information : (K, K) array
        Minus the Hessian, A.
    own : function
        Gives the rows S, (M, K), whose squares the middle matrix of `cov` sums: scores, or
        their sums by cluster.
    rows : function
        Gives the scores of single observations.
    unit : function
        Gives G, `Likelihood.rounding`.
    why : str
        What does not vary if `own` is flat in more directions than `rows`.
    heaviest : float
        The largest sampling weight.

    Returns
    -------
    tuple of Quiet
        None, one, or two: the directions of the data, then those of `own` if they are more.

    Notes
    -----
    G is the covariance of the score if every log-probability had an independent error of 1,
    and the combination ``r'b`` is without noise where

        ``r' A^-1 S'S A^-1 r <= (5e-7)^2 r' A^-1 G A^-1 r``:

    where the data vary about the fit by less than half a unit of the sixth decimal of a
    log-probability, to which they are recorded. Neither side knows units of regressors,
    weights or the number of observations. Outcomes that obey the model exactly lie near
    1e-15, rounded log-probabilities at 3e-7, and noise of a millionth is noise. The left
    side comes from singular values of S: in a covariance it drowns in the rounding of its
    larger eigenvalues, which is why such standard errors differ between processors. The
    covariance is only asked whether it is worth looking.

    Examples
    --------
    >>> scores = np.array([[1.0, 1e-17], [-1.0, 2e-16], [0.5, -1e-16], [-0.5, 0.0]])
    >>> one = np.eye(2)
    >>> (found,) = quiet_directions(
    ...     scores.T @ scores, one, lambda: scores, lambda: scores, lambda: one
    ... )
    >>> found.named(["price", "rival"]), found.everywhere
    (('rival',), False)
    """
    scale = 1 / np.sqrt(np.diag(information))
    size, vectors = _root(information * np.outer(scale, scale))
    factor = (vectors * size) / scale[:, None]
    values = np.linalg.eigvalsh(factor.T @ cov @ factor)
    if values[0] > _SCREEN * max(heaviest, values[-1]):
        return ()
    size, vectors = _root(unit() * np.outer(scale, scale))
    root = np.asarray(np.linalg.solve(information, (vectors * size) / scale[:, None]))
    turn = scale[:, None] * (vectors / size)
    data, mine = Quiet(root, *_spread(rows() @ turn)), Quiet(root, *_spread(own() @ turn), why)
    # A few sums may by chance be a few times larger than what they are made of.
    kept = np.linalg.norm(mine.spread @ data.axes, axis=0) <= 10 * mine.least
    if data.axes.shape[1] and kept.all():
        return (data, mine) if mine.axes.shape[1] > data.axes.shape[1] else (data,)
    return (mine,) if mine.axes.shape[1] else ()


def cleaned(cov: Array, quiet: Sequence[Quiet]) -> Array:
    """The covariance without its rounding in directions where the data have no noise.

    ``P V P'`` with P the projection along them, and exact zeros for coefficients without noise.
    """
    for found in quiet:
        if found.why == DATA:
            axes = found.axes
            along = found.root @ (np.eye(len(axes)) - axes @ axes.T) @ np.linalg.pinv(found.root)
            cov = along @ cov @ along.T
            cov = (cov + cov.T) / 2
        alone = found.coefficients
        cov = np.where(alone[:, None] | alone[None, :], 0.0, cov)
    return cov


def noted(quiet: Sequence[Quiet], terms: Sequence[str], outcome: str) -> tuple[str, ...]:
    """What to print below a table of coefficients."""
    notes, told = [], np.zeros(len(terms), bool)
    for found in quiet:
        if found.everywhere and found.why == DATA:
            return (
                f"{outcome} does not vary about the fit: standard errors are zero because the "
                "data hold no noise, not because they are precise",
            )
        alone = found.coefficients
        names = (
            found.named(terms)
            if found.why == DATA
            else tuple(t for t, new in zip(terms, alone & ~told, strict=True) if new)
        )
        told |= alone
        if names:
            notes.append(
                f"{found.why} in {_listed(names)}: only rounding is left there, so the standard "
                "error is 0 and there is neither t value nor p-value"
            )
    return tuple(notes)


def refuse_quiet(quiet: Sequence[Quiet], matrix: Array, terms: Sequence[str]) -> None:
    """Refuse to test restrictions ``matrix @ params`` of which some have no noise.

    Raises
    ------
    DesignError
        Naming those, and the number that could be tested.
    """
    for found in quiet:
        rows = found.among(matrix)
        if len(rows):
            left = len(matrix) - len(rows)
            raise DesignError(
                f"no test: {found.why} in {_listed(found.named(terms, rows))}, so a statistic "
                f"would be made of rounding; of {len(matrix)} restrictions {left} can be tested: "
                "leave the others out"
            )


def _root(matrix: Array) -> tuple[Array, Array]:
    """Square roots of the eigenvalues of a positive definite matrix, and its eigenvectors."""
    values, vectors = np.linalg.eigh(matrix)
    least = np.finfo(np.float64).eps * values[-1]
    return np.sqrt(np.maximum(values, least)), np.asarray(vectors)


def _spread(rows: Array) -> tuple[Array, float]:
    """A square matrix with the squares of the rows, and the size that counts as nothing."""
    size = rows.shape[1]
    triangle: Array = np.linalg.qr(np.vstack([rows, np.zeros((size, size))])).R
    largest = float(np.linalg.norm(triangle, 2))
    return np.asarray(triangle), max(_ROUNDING, size * float(np.finfo(np.float64).eps) * largest)


def _reduced(rows: Array, rank: int) -> Array:
    """Reduced echelon form of the row space, largest pivots first, (rank, K)."""
    rows = rows.copy()
    pivots: list[int] = []
    for k in range(rank):
        rest = np.abs(rows[k:])
        # Of pivots that are equal but for rounding the first: no order depends on the machine.
        i, j = np.argwhere(rest >= rest.max() * (1 - 1e-6))[0]
        rows[[k, k + i]] = rows[[k + i, k]]
        rows[k] /= rows[k, j]
        others = np.arange(len(rows)) != k
        rows[others] -= np.outer(rows[others, j], rows[k])
        pivots.append(int(j))
    return rows[:rank][np.argsort(pivots)]


def _written(row: Array, terms: Sequence[str]) -> str:
    """A combination in words; its largest weights are one."""
    size = np.abs(row)
    used = np.flatnonzero(size > 1e-6 * size.max())
    row = row / row[used[0]]
    text = ""
    for k in used.tolist():
        shown = f"{abs(row[k]):.4g}"
        sign = "-" if row[k] < 0 else "+"
        text += f" {sign} " if text else ""
        text += terms[k] if shown == "1" else f"{shown} * {terms[k]}"
    return text


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
