"""Directions in which a logit likelihood rises for ever, from its regressors and outcomes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from llmdemand.modeling.arrays import Array, Codes, sums, triangle

__all__ = [
    "TIE",
    "in_units",
    "separating_differences",
    "separating_direction",
    "separating_sums",
    "separating_totals",
]

#: Of a regressor's largest absolute value (of half its range beside a constant).
TIE = 1e-9
_ROUNDING = 1e-14
_THIN = 1e-4  # a cone so narrow is stretched before the solver, exact to 1e-7, sees it
_LARGEST = 1e5  # coefficient in a linear programme whose regressors are at most 1
_ROWS = 500  # of a linear programme at first; as many are added in each round


def separating_direction(x: Array, y: Array) -> Array | None:
    """A direction in which the likelihood rises for ever, or None if the maximum exists.

    Parameters
    ----------
    x : (N, K) array
        Regressors, of full rank and in any units.
    y : (N,) array
        Outcomes in [0, 1]. Strict fractions pull both ways: an observation with
        0 < y < 1 must lie on the separating plane.

    Returns
    -------
    (K,) array or None
        A nonzero d with ``x_i'd >= 0`` where y_i = 1, ``<= 0`` where y_i = 0 and
        ``= 0`` where 0 < y_i < 1, not zero for all i: estimates diverge along d.

    Notes
    -----
    With a constant and one regressor the test is closed-form and exact: the data are
    separated if and only if all x with y > 0 lie on one side of all x with y < 1 (Albert &
    Anderson 1984). Otherwise linear programmes decide: see `separating_differences`.

    Examples
    --------
    >>> x = np.column_stack([np.ones(4), [1.0, 2.0, 3.0, 4.0]])
    >>> separating_direction(x, np.array([1.0, 1.0, 0.0, 0.0])).tolist()
    [2.5, -1.0]
    >>> separating_direction(x, np.array([1.0, 0.0, 1.0, 0.0])) is None
    True
    """
    if not len(y):
        return None
    constants = np.flatnonzero((np.ptp(x, axis=0) == 0) & (x[0] != 0))
    if len(constants) == 1 and x.shape[1] == 2:
        at = int(constants[0])
        found = _one_regressor(x[:, 1 - at], y)
        if found is None:
            return None
        level, slope = found
        direction = np.array([slope, slope])
        direction[at] = level / x[0, at]
        return direction
    middle = np.zeros(x.shape[1])
    if len(constants):
        # Prices of a million and one: what matters is how they differ.
        middle = (x.min(axis=0) + x.max(axis=0)) / 2
        middle[constants] = 0.0
    z = x - middle
    strict = (y > 0) & (y < 1)
    rows = np.concatenate([z[y == 1], -z[y == 0]])
    direction_z = _direction(rows, z[strict])
    if direction_z is None or not len(constants):
        return direction_z
    at = int(constants[0])
    back = np.eye(x.shape[1])
    back[at] -= middle / x[0, at]
    return in_units(back, direction_z)


def separating_totals(x: Array, total: Array, n: Array) -> Array | None:
    """The same for outcomes that may leave [0, 1]: sums of them, and of what they sum to.

    Parameters
    ----------
    x : (M, K) array
        Regressors.
    total : (M,) array
        Sum of the outcomes at each row of regressors.
    n : (M,) array
        Sum of what the outcomes of all alternatives are: observations whose answer was read.

    Returns
    -------
    (K,) array or None
        A nonzero d with ``sum total x'd >= sum n max(x'd, 0)``, which exists if and only if
        ``sum total x'b - n log(1 + exp(x'b))`` has no maximum.

    Examples
    --------
    >>> x = np.column_stack([np.ones(2), [0.0, 1.0]])
    >>> separating_totals(x, np.array([1.2, 0.5]), np.array([2.0, 1.0])) is None
    True
    >>> separating_totals(x, np.array([2.4, 0.5]), np.array([2.0, 1.0])) is None
    False
    """
    rows, code = np.unique(x, axis=0, return_inverse=True)
    total, n = (sums(code.ravel(), v, len(rows)) for v in (total, n))
    outside = (total < 0) | (total > n)
    if not outside.any():
        used = n > 0
        return separating_direction(rows[used], total[used] / n[used])
    wide = np.zeros((2 * len(rows), x.shape[1]))
    wide[::2] = rows
    both = np.column_stack([total, n - total]).ravel()
    return separating_sums(wide, both, 2 * np.arange(len(rows)), n)


def separating_sums(x: Array, y: Array, start: Codes, read: Array) -> Array | None:
    """The same for choices: d with ``sum_i sum_j y_ij x_ij'd >= sum_i r_i max_j x_ij'd``.

    Parameters
    ----------
    x : (R, K) array
        Regressors, the rows of a case side by side.
    y : (R,) array
        Outcomes; those of a case sum to `read`.
    start : (N,) int array
        First row of each case.
    read : (N,) array
        What the outcomes of each case sum to.

    Notes
    -----
    ``max_d y'Xd - r'u`` with ``u_i >= x_ij'd`` and ``-1 <= d <= 1`` in units of each regressor's
    largest value: a linear programme that is positive if and only if there is such a d (zero
    where there is only one of equality).
    """
    from scipy import sparse

    if (read < 0).any():
        x, y, start, read = _merged(x, y, start, read)
    size, cases = x.shape[1], len(start)
    scale = np.abs(x).max(axis=0)
    z = x / np.where(scale > 0, scale, 1.0)
    case = np.repeat(np.arange(cases), np.diff(start, append=len(x)))
    best = sparse.csr_array((-np.ones(len(x)), (np.arange(len(x)), case)), (len(x), cases))
    cost = np.concatenate([-(y @ z), read])
    bounds = [(-1.0, 1.0)] * size + [(None, None)] * cases
    found = _linprog(cost, sparse.hstack([sparse.csr_array(z), best]), np.zeros(len(x)), bounds)
    if found is None or not -(cost @ found) > TIE * float(np.abs(y).sum()):
        return None
    return np.asarray(found[:size] / np.where(scale > 0, scale, 1.0))


def _merged(x: Array, y: Array, start: Codes, read: Array) -> tuple[Array, Array, Codes, Array]:
    """Equal cases as one: alone, a case that sums to less than nothing bounds no programme."""
    sizes = np.diff(start, append=len(x))
    if (sizes != sizes[0]).any():
        return x, y, start, read
    one = int(sizes[0])
    wide, code = np.unique(x.reshape(len(start), -1), axis=0, return_inverse=True)
    number = len(wide)
    place = np.repeat(code.ravel() * one, one) + np.tile(np.arange(one), len(start))
    return (
        wide.reshape(-1, x.shape[1]),
        sums(place, y, number * one),
        one * np.arange(number),
        sums(code.ravel(), read, number),
    )


def in_units(back: Array, direction: Array) -> Array:
    """A direction in the original regressors: what cancels but for rounding is exactly 0.

    Parameters
    ----------
    back : (K, K) array
        See `Likelihood.standardised`.
    direction : (K,) array
        In the standardised regressors.

    Examples
    --------
    >>> in_units(np.array([[1.0, -3.0], [0.0, 10.0]]), np.array([0.3, 0.1])).tolist()
    [0.0, 1.0]
    """
    moved = back @ direction
    return np.where(np.abs(moved) > 1e-9 * (np.abs(back) @ np.abs(direction)), moved, 0.0)


def separating_differences(differences: Array) -> Array | None:
    """A direction d with ``differences @ d >= 0``, not zero throughout, or None.

    Parameters
    ----------
    differences : (D, K) array
        Regressors of what happened less those of what might have happened instead: for a
        choice among alternatives ``x_chosen - x_rival``; for a binary outcome x where
        y > 0 and -x where y < 1.

    Returns
    -------
    (K,) array or None
        The direction has the largest possible support: no other makes a difference positive
        that it leaves at zero, so that the likelihood tends to its supremum along it (it lies
        in the relative interior of the recession cone). Among those it needs the smallest sum
        of absolute coefficients, in units of each regressor's largest difference, for a gain
        of 1 in every row of the programme. Coefficients that it leaves alone are exactly 0.
        In quasi-complete separation with a single direction it names the coefficients that
        diverge; where there are many directions, as in complete separation, another may name
        others.

    Notes
    -----
    The data are separated, completely or quasi-completely, if and only if there is such a d
    (Albert & Anderson 1984), which is a question to a linear programme (Konis 2007). Here:
    ``max sum s`` over d and s with ``differences @ d >= s``, ``0 <= s <= 1``, whose optimum
    is 0 or at least 1: a small optimum is not mistaken for rounding. Solvers let constraints
    be violated by 1e-7, so the answer is verified: rows that cannot be positive must be zero
    in every direction, which leaves their null space, to rounding. If they have nearly one,
    the data are nearly separated or nearly not: the space is stretched along it and the
    programme solved again. Distances below 1e-9 of a regressor's largest difference count as
    ties. Of many rows only those that bind are passed to the solver.

    Examples
    --------
    >>> separating_differences(np.array([[1.0, 0.0], [0.0, 1.0], [0.0, -1.0]])).tolist()
    [1.0, 0.0]
    """
    return _direction(differences, differences[:0])


def _direction(rows: Array, equal: Array) -> Array | None:
    """A direction with ``rows @ d >= 0`` of largest support and ``equal @ d == 0``."""
    scale = np.abs(rows).max(axis=0, initial=0.0)
    scale = np.maximum(scale, np.abs(equal).max(axis=0, initial=0.0))
    scale = np.where(scale > 0, scale, 1.0)
    basis = _null_space(equal / scale)
    z = rows / scale
    z = z[np.any(z != 0, axis=1)]
    if not basis.shape[1] or not len(z):
        return None
    d = _solve(z, basis)
    if d is None:
        return None
    d = d / np.abs(d).max()
    clean = np.where(np.abs(d) < 1e-9, 0.0, d)
    return np.asarray((clean if _holds(z, clean) else d) / scale)


def _within(z: Array, basis: Array, tie: float = TIE) -> Array:
    """Rows in coordinates of a subspace; those that are zero there but for ties are 0."""
    rows = z @ basis
    size = np.abs(rows).max(axis=1, initial=0.0, keepdims=True)
    return np.where(size > tie * np.abs(z).max(axis=1, keepdims=True), rows, 0.0)


def _singular(rows: Array) -> tuple[Array, Array]:
    """The K singular values of `rows` and its right singular vectors, as columns."""
    k = rows.shape[1]
    if len(rows) > k:
        rows = triangle(rows)
    values = np.zeros(k)
    if not len(rows):
        return values, np.eye(k)
    _, some, right = np.linalg.svd(rows)
    values[: len(some)] = some
    return values, right.T


def _null_space(rows: Array) -> Array:
    """Orthonormal basis of the directions that leave `rows` at zero, (K, F)."""
    values, vectors = _singular(rows)
    return vectors[:, values <= TIE]


def _holds(z: Array, d: Array) -> bool:
    """Whether ``z @ d`` is nowhere negative beyond rounding, and somewhere positive."""
    value, size = z @ d, np.abs(z) @ np.abs(d)
    return bool(np.all(value >= -TIE * size) and np.any(value > TIE * size))


def _solve(z: Array, basis: Array) -> Array | None:
    """Direction of largest support, from few of many rows: those that are violated join."""
    z = z[np.any(_within(z, basis) != 0, axis=1)]
    if not len(z):
        return None
    z = z / np.abs(z).max(axis=1, keepdims=True)
    used = np.zeros(len(z), bool)
    used[_first_rows(z)] = True
    while True:
        solved = _programme(np.unique(z[used], axis=0), basis)
        if solved is None:
            return None
        d, implied = solved
        value, size = z @ d, np.abs(z) @ np.abs(d)
        # A row at zero by chance, not in the span of those that must be, may be positive
        # in another direction.
        at = np.flatnonzero(~used & (value <= 10 * _ROUNDING * size))
        at = at[np.any(_within(z[at], implied) != 0, axis=1)]
        if not len(at):
            return d
        if len(at) > _ROWS:
            at = at[np.argpartition(value[at], _ROWS)[:_ROWS]]
        used[at] = True


def _first_rows(z: Array) -> Codes:
    """Rows to begin with: all, or extreme ones, K independent ones and some others."""
    n, k = z.shape
    if n <= 2 * _ROWS:
        return np.arange(n, dtype=np.intp)
    from scipy.linalg import qr

    some = np.linspace(0, n - 1, _ROWS).astype(np.intp)
    _, pivots = qr(z.T, mode="r", pivoting=True)
    return np.unique(np.concatenate([z.argmin(axis=0), z.argmax(axis=0), pivots[:k], some]))


def _programme(z: Array, basis: Array) -> tuple[Array, Array] | None:
    """The linear programme on rows of comparable scale within a subspace, verified.

    Returns
    -------
    tuple or None
        The direction, (K,), and a basis of the directions that leave the rows at zero which
        no direction makes positive, (K, F).
    """
    stretch, tie = 1.0, TIE
    while basis.shape[1]:
        rows = _within(z, basis, tie)
        size = np.abs(rows).max(axis=1)
        z, rows, size = z[size > 0], rows[size > 0], size[size > 0]
        if not len(z):
            return None
        rows = rows / size[:, None]
        positive, w = _support(rows)
        values, vectors = _singular(rows[~positive])
        none, thin = values <= tie, (values > tie) & (values <= _THIN)
        if thin.any() and stretch < 1 / TIE:
            # Nearly separated, or nearly not: look again with that direction stretched.
            factor = np.where(thin, 1 / np.where(thin, values, 1.0), 1.0)
            factor[none] = factor.max()
            basis = basis @ (vectors * factor)
            stretch *= float(factor.max())
            tie = max(TIE, _ROUNDING * stretch)
        elif positive.any() and (none | thin).any():
            # Rows that cannot be positive are zero: exactly, from here on.
            inner = vectors[:, none | thin]
            basis, rows, z = basis @ inner, rows[positive] @ inner, z[positive]
            d = _shortest(rows, basis)
            if d is None and positive.all():
                d = basis @ (inner.T @ w)
            if d is not None:
                return d, basis
        else:
            return None
    return None


def _support(rows: Array) -> tuple[NDArray[np.bool_], Array]:
    """Rows that are positive in some direction in which none is negative; such a direction."""
    from scipy import sparse

    m, k = rows.shape
    solved = _linprog(
        np.append(np.zeros(k), np.full(m, -1.0)),
        sparse.csc_array(sparse.hstack([sparse.csr_array(-rows), sparse.eye_array(m)])),
        np.zeros(m),
        [(-_LARGEST, _LARGEST)] * k + [(0.0, 1.0)] * m,
    )
    if solved is None:
        return _support_by_projection(rows)
    return solved[k:] > 0.5, solved[:k]


def _support_by_projection(rows: Array) -> tuple[NDArray[np.bool_], Array]:
    """The same where the solver fails, which it does where rows are all but collinear.

    The projection r of ``c = sum rows`` on the cone ``rows @ d >= 0`` is not 0 if and only
    if some direction makes a row positive; ``r = c + rows' u`` with u >= 0 of least squares.
    """
    from scipy.optimize import nnls

    positive, d = np.zeros(len(rows), bool), np.zeros(rows.shape[1])
    while not positive.all():
        c = rows[~positive].sum(axis=0)
        u, _ = nnls(rows.T, -c)
        r = c + rows.T @ u
        value = rows @ r
        new = ~positive & (value > 1e-5 * np.abs(r).max())
        if not new.any() or value.min() < -1e-7 * np.abs(r).max():
            break
        positive |= new
        d += r / value[new].min()
    return positive, d


def _shortest(rows: Array, basis: Array) -> Array | None:
    """Smallest ``sum |d|``, d = ``basis @ w``, with ``rows @ w >= 1``."""
    k, f = basis.shape
    scaled = basis / np.abs(basis).max()
    one = np.eye(k)
    matrix = np.block([[-rows, np.zeros((len(rows), k))], [scaled, -one], [-scaled, -one]])
    limit = np.append(-np.ones(len(rows)), np.zeros(2 * k))
    cost = np.append(np.zeros(f), np.ones(k))
    solved = _linprog(cost, matrix, limit, [(-_LARGEST, _LARGEST)] * f + [(None, None)] * k)
    if solved is None or not np.all(rows @ solved[:f] > 0.5):
        return None
    return np.asarray(basis @ solved[:f])


def _linprog(cost: Array, matrix: Any, limit: Array, bounds: Any) -> Array | None:
    from scipy.optimize import linprog

    solved = linprog(cost, A_ub=matrix, b_ub=limit, bounds=bounds)
    return np.asarray(solved.x, np.float64) if solved.status == 0 else None


def _one_regressor(x: Array, y: Array) -> tuple[float, float] | None:
    """Constant and slope of the direction, or None."""
    ones, zeros = x[y > 0], x[y < 1]
    if not zeros.size:
        return 1.0, 0.0
    if not ones.size:
        return -1.0, 0.0
    if ones.max() <= zeros.min():
        return float(ones.max() / 2 + zeros.min() / 2), -1.0
    if zeros.max() <= ones.min():
        return float(-(zeros.max() / 2 + ones.min() / 2)), 1.0
    return None
