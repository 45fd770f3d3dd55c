"""Which of many logits have a maximum, by their patterns of points with y > 0 and y < 1."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from llmdemand.modeling.arrays import Array
from llmdemand.modeling.batch.newton import Bools, Design, maximum, means, solve
from llmdemand.modeling.likelihood.separating import separating_direction, separating_totals

__all__ = ["Patterns"]

_ROUNDING = 1e-12
_ALL_ONES = 1 - 1e-14  # of n: sums of weights and of weighted ones may differ by rounding

#: Places of prices from below and from above, from 1; (J, 1) each.
_Places = tuple[NDArray[np.int32], NDArray[np.int32]]


class Patterns:
    """Which fits have a maximum: that depends on where there are some y > 0 and some y < 1."""

    def __init__(self, design: Design) -> None:
        self._design = design
        # Beside a constant, each regressor alone may separate.
        constant = design.constant
        self._places = [
            _places(column)
            for k, column in enumerate(design.z.T)
            if constant is not None and k != constant
        ]
        self._known: dict[bytes, tuple[bool, bool]] = {}

    def exist(self, n: Array, total: Array) -> tuple[Bools, Bools]:
        """Whether the maximum exists, and whether the points with data have full rank."""
        some, other = total > 0, total < n * _ALL_ONES
        if self._design.z.shape[1] == 2 and len(self._places) == 1:
            places = self._places[0]
            high, low = _reach(places, n > 0)
            ranked: Bools = high + low > int(places[0][0, 0] + places[1][0, 0])
            return _overlap(places, some, other), ranked
        bits = np.packbits(np.concatenate([some, other]), axis=0).T
        keys = np.ascontiguousarray(bits).view(f"V{bits.shape[1]}").ravel()
        patterns, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
        names = [p.tobytes() for p in patterns]
        new = [k for k, name in enumerate(names) if name not in self._known]
        if new:
            decided = self._decide(some[:, first[new]], other[:, first[new]])
            for k, exists, ranked in zip(new, *decided, strict=True):
                self._known[names[k]] = bool(exists), bool(ranked)
        table = np.array([self._known[name] for name in names], bool).reshape(-1, 2)
        answer = table[inverse.reshape(-1)]
        return answer[:, 0].copy(), answer[:, 1].copy()

    def leave(self, n: Array, total: Array, exists: Bools, ranked: Bools) -> None:
        """Decide anew, in place, for corrected beliefs: where totals leave [0, n].

        There is a maximum if and only if ``f(d) = sum_j n_j max(z_j'd, 0) - total_j z_j'd`` is
        positive for every d but zero. Beside a constant and one regressor f is linear between
        the directions in which it bends, the zeros of one z_j: it is enough to look at these.
        """
        slack = _ROUNDING * (1 + np.abs(n) + np.abs(total))
        index = np.flatnonzero(((total < -slack) | (total > n + slack)).any(axis=0))
        if not len(index):
            return
        z, n, total = self._design.z, n[:, index], total[:, index]
        if z.shape[1] == 2 and len(self._places) == 1:
            bends = z @ np.array([[0.0, 1.0], [-1.0, 0.0]])
            u = z @ np.concatenate([bends, -bends]).T
            rises = n.T @ np.maximum(u, 0) - total.T @ u
            found = (rises > _ROUNDING * ((np.abs(n) + np.abs(total)).T @ np.abs(u))).all(axis=1)
        else:
            ranked = ranked.copy()
            ranked[index] = self._full_rank(n > 0)
            pairs = zip(n.T, total.T, strict=True)
            found = np.array([separating_totals(z, t, m) is None for m, t in pairs])
        # Where less than nothing was read the likelihood is not concave.
        exists[index] = found & ranked[index] & (n >= 0).all(axis=0)

    def _decide(self, some: Bools, other: Bools) -> tuple[Bools, Bools]:
        z = self._design.z
        ranked = self._full_rank(some | other)
        for k in np.flatnonzero(~ranked):
            # The Gram matrix squares the condition: what it doubts is looked at closely.
            rows = z[some[:, k] | other[:, k]]
            ranked[k] = len(rows) >= z.shape[1] and np.linalg.matrix_rank(rows) == z.shape[1]
        open_ = ranked.copy()
        if self._design.constant is not None:
            open_ &= some.any(axis=0) & other.any(axis=0)
        for places in self._places:
            open_ &= _overlap(places, some, other)
        # A separating direction is zero at points with both: these span all, there is none.
        exists = open_ & self._full_rank(some & other)
        for certificate in (self._by_newton, self._by_programme):
            left = np.flatnonzero(open_ & ~exists)
            if not len(left):
                break
            exists[left], apart = certificate(some[:, left], other[:, left])
            open_[left[apart]] = False
        return exists, ranked

    def _full_rank(self, points: Bools) -> Bools:
        values = np.linalg.eigvalsh(self._design.gram(points.astype(float)).transpose(2, 0, 1))
        return np.asarray(values[:, 0] > 1e-8 * np.maximum(values[:, -1], 1e-300))

    def _by_newton(self, some: Bools, other: Bools) -> tuple[Bools, Bools]:
        """What a few steps prove.

        There is no separating direction if (and only if) positive weights w of all rows give
        ``sum_i w_i s_i x_i = 0``, s_i = 1 for y = 1 and -1 for y = 0. Near the maximum
        ``w_i = |y_i - mu_i|`` gives nearly zero, and the least correction that gives zero is
        known. Data are separated if the coefficients themselves tell all rows apart.
        """
        design = self._design
        ones, zeros = some.astype(float), other.astype(float)
        n = ones + zeros
        params, _, _ = maximum(design, n, ones, limit=15)
        eta, mu, _ = means(design.z @ params, n)
        rest = design.z.T @ (ones - n * mu)
        correction = np.abs(design.z @ solve(design.gram(n), rest))
        least = np.minimum(np.where(some, 1 - mu, 1.0), np.where(other, mu, 1.0))
        proven = ((correction < least / 2) & (least > 1e-9)).all(axis=0)
        side = np.where(some, eta, -eta)
        apart = ((side > 1e-6) | (n == 0)).all(axis=0) & ~(some & other).any(axis=0)
        return np.asarray(proven), np.asarray(apart)

    def _by_programme(self, some: Bools, other: Bools) -> tuple[Bools, Bools]:
        exists = np.empty(some.shape[1], bool)
        for k in range(some.shape[1]):
            rows = some[:, k] | other[:, k]
            y = np.where(some[rows, k], np.where(other[rows, k], 0.5, 1.0), 0.0)
            exists[k] = separating_direction(self._design.z[rows], y) is None
        return exists, ~exists


def _places(price: Array) -> _Places:
    """Places of prices from below and from above, from 1; (J, 1) each."""
    levels, place = np.unique(price, return_inverse=True)
    above = (place.reshape(-1, 1) + 1).astype(np.int32)
    return above, (len(levels) + 1 - above).astype(np.int32)


def _reach(places: _Places, mask: Bools) -> tuple[Any, Any]:
    """Highest price and lowest price of a mask (J, B), as places; 0 where it is empty."""
    # Products of small integers: several times as fast as np.where on prices.
    return (mask * places[0]).max(axis=0), (mask * places[1]).max(axis=0)


def _overlap(places: _Places, some: Bools, other: Bools) -> Bools:
    """Closed-form overlap of y > 0 and y < 1 along one regressor (Albert & Anderson 1984).

    The highest one must lie above the lowest zero, and the highest zero above the lowest one.
    Places of one price from below and from above add up to the levels plus one.
    """
    same = int(places[0][0, 0] + places[1][0, 0])
    high_one, low_one = _reach(places, some)
    high_zero, low_zero = _reach(places, other)
    overlap: Bools = (high_one + low_zero > same) & (high_zero + low_one > same)
    return overlap
