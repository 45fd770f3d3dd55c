"""The estimating equations of PPI++ for logits, as one concave objective.

The loss of a logit is linear in its outcome. So the objective of prediction-powered
inference, ``l_n(y) + lambda [l_N(f) - l_n(f)]`` (Angelopoulos, Duchi & Zrnic 2023, arXiv
2311.01453), is a weighted sum of three logit likelihoods, and where the samples are weighted
to a common design it is the likelihood of one logit with rectified cell means.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from llmdemand.errors import DesignError
from llmdemand.modeling.arrays import Array, Codes
from llmdemand.modeling.likelihood.cases import Cases
from llmdemand.modeling.likelihood.cells import Cells
from llmdemand.modeling.optimum.newton import newton

__all__ = ["Combined", "logit_data", "solve"]


def logit_data(
    x: Array, outcome: Array, start: Codes, weight: Array, *, outside: bool
) -> Cells | Cases:
    """The likelihood of weighted cases.

    Parameters
    ----------
    x : (R, K) array
        Regressors by row; the rows of a case lie side by side.
    outcome : (R,) array
        Outcomes, which need not lie in [0, 1]: rectified means may leave it.
    start : (N,) int array
        First row of each case.
    weight : (N,) array
        Weight of each case.
    outside : bool
        Whether a case is one row, bought or not.
    """
    one = np.ones(len(start))
    if outside:
        return Cells(x, one, outcome, np.zeros(len(start)), weight)
    return Cases(x, outcome, start, one, weight)


@dataclass(frozen=True)
class Combined:
    """A sum of logit likelihoods with coefficients, one of which may be negative.

    It is concave as long as the coefficients of equal cases add up to no less than zero, as
    those of PPI++ do for lambda in [0, 1].

    Attributes
    ----------
    parts : sequence of (float, Cells or Cases)
        Coefficients and likelihoods.
    """

    parts: Sequence[tuple[float, Cells | Cases]]
    groups: Mapping[str, Codes] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """K, the number of coefficients."""
        return self.parts[0][1].size

    def llf(self, params: Array) -> float:
        """The weighted sum of the log-likelihoods."""
        return sum(c * part.llf(params) for c, part in self.parts if c)

    def gradient(self, params: Array) -> Array:
        """Its gradient, (K,)."""
        return np.asarray(np.sum([c * p.gradient(params) for c, p in self.parts if c], axis=0))

    def information(self, params: Array) -> Array:
        """Minus its Hessian, (K, K)."""
        return np.asarray(np.sum([c * p.information(params) for c, p in self.parts if c], axis=0))

    def reach(self, step: Array) -> float:
        """The largest change of a log-odds that `step` makes."""
        return max(part.reach(step) for _, part in self.parts)

    def separating_direction(self) -> Array | None:
        """A direction in which the objective never falls, or None: exact, by linear programme.

        Far along d the objective is ``t [T'd - sum_c a_c max_j x_cj'd]``: T the sum of outcome
        times regressor, a_c what the coefficients of case c add up to. There is a maximum if
        and only if this is negative for every d that is not zero.
        """
        from scipy.optimize import linprog
        from scipy.sparse import coo_matrix

        x, a, case, total = _recession(self.parts)
        scale = np.abs(x).max(axis=0)
        scale[scale == 0] = 1.0
        x, total = x / scale, total / scale
        k, cases, rows = x.shape[1], len(a), len(x)
        # Variables d and u; u_c >= x_cj'd for each row of a case.
        left = np.repeat(np.arange(rows), k)
        block = coo_matrix((x.ravel(), (left, np.tile(np.arange(k), rows))), (rows, k + cases))
        both: Any = block + coo_matrix((-np.ones(rows), (np.arange(rows), k + case)), block.shape)
        best: tuple[float, Array | None] = (np.inf, None)
        for j in range(k):
            # The least loss over directions whose j-th part is +-1: zero is then no answer.
            for sign in (-1.0, 1.0):
                bounds = [(-1.0, 1.0)] * k + [(None, None)] * cases
                bounds[j] = (sign, sign)
                found: Any = linprog(
                    np.append(-total, a), A_ub=both, b_ub=np.zeros(rows), bounds=bounds
                )
                if found.status == 0 and found.fun < best[0]:
                    best = float(found.fun), np.asarray(found.x[:k])
        loss, direction = best
        if direction is None or loss > 1e-9 * max(1.0, float(np.abs(a).sum())):
            return None
        return np.asarray(direction / scale)


def _recession(parts: Sequence[tuple[float, Cells | Cases]]) -> tuple[Array, Array, Codes, Array]:
    """Rows (with those of not buying), coefficients by case, case of each row, linear term."""
    blocks: list[Array] = []
    weights: list[Array] = []
    codes: list[Codes] = []
    count = 0
    total = np.zeros(parts[0][1].size)
    seen: dict[int, int] = {}
    for c, part in parts:
        w = c * part.count * part.weight
        outcome = part.mean if isinstance(part, Cells) else part.y
        n = len(part.count)
        sizes = np.ones(n, np.intp)
        if isinstance(part, Cases):
            sizes = np.diff(np.append(part.start, len(part.y)))
        total = total + (np.repeat(w, sizes) * outcome) @ part.x
        place = seen.get(id(part.x))
        if place is not None:  # the same cases again: their coefficients add up
            weights[place] = weights[place] + w
            continue
        seen[id(part.x)] = len(weights)
        case = count + np.repeat(np.arange(n), sizes)
        blocks.append(part.x)
        codes.append(case)
        weights.append(w)
        if isinstance(part, Cells):
            blocks.append(np.zeros_like(part.x))
            codes.append(case)
        count += n
    case = np.concatenate(codes)
    return np.vstack(blocks), np.concatenate(weights), case, total


def solve(parts: Sequence[tuple[float, Cells | Cases]], start: Array, what: str) -> Array:
    """Coefficients at the maximum of a combined likelihood.

    Parameters
    ----------
    parts : sequence of (float, Cells or Cases)
        See `Combined`.
    start : (K,) array
        Where to begin.
    what : str
        Whose estimate it is, for the message.

    Raises
    ------
    DesignError
        If there is no maximum.
    """
    data: Any = Combined(parts)
    found = newton(data, start=start)
    if not found.converged:
        direction = found.direction
        if direction is None:
            direction = data.separating_direction()
        why = (
            "the means of the cells leave the range that a logit can reach, so that no finite "
            "coefficient fits them: survey more people, or take fewer prices or regressors"
            if direction is not None
            else "Newton's method did not settle: the regressors differ too much in scale"
        )
        raise DesignError(f"no estimate {what}: {why}")
    return found.params
