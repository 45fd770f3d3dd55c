"""What the comparison of both sides' beliefs could not have seen, and what it would do."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from llmdemand.calibration.moments.moments import Moments, Scores
from llmdemand.modeling.arrays import Array
from llmdemand.modeling.likelihood.cells import sigmoid

__all__ = ["Unseen", "unseen"]

#: Standard errors of a difference that is seen in four of five samples: 2.84 for the least of three
#: p-values at .01, and .84.
SEEN = 3.68
_MOST = 8.0  # log-odds


@dataclass(frozen=True)
class Unseen:
    """A shift of the pool's beliefs against the humans' that would hardly be noticed.

    Attributes
    ----------
    shift : float
        Log-odds that are seen in four of five samples like this one; smaller ones often are not.
        Inf if no shift would be.
    moved : float
        How far that shift would move the calibrated target, to either side.
    errors : float
        The same in its standard errors.
    """

    shift: float
    moved: float
    errors: float

    def moving(self, moved: float) -> Unseen:
        """The same shift with what it was found to do."""
        return replace(self, moved=moved, errors=self.errors * moved / self.moved)

    @property
    def sentence(self) -> str:
        """In words."""
        if np.isinf(self.shift):
            return "no shift of the pool's beliefs would be noticed with so few humans"
        return (
            f"a shift of the pool's beliefs by less than {self.shift:.2g} log-odds would often go "
            f"unseen; it would move the estimate by up to {self.moved:.3g} ({self.errors:.2g} "
            "standard errors)"
        )


def unseen(
    moments: Moments, scores: Scores, direction: Array, lam: float, se: float
) -> Unseen | None:
    """The least shift that these samples would show, and what it does to the target.

    Parameters
    ----------
    moments, scores : Moments, Scores
        Of the beliefs that were compared, at the humans' estimate.
    direction : (K,) array
        The target's derivative times the inverse information.
    lam : float
        Weight on the correction.
    se : float
        Of the calibrated target.

    Returns
    -------
    Unseen or None
        None where a shift has no meaning: without cells or a constant, of several alternatives, or
        of corrected beliefs beyond [0, 1].

    Notes
    -----
    The pool's log-odds are shifted alike for everybody. The difference of mean beliefs over the
    design has the standard error of the constant's scores; the shift at which it is 3.68 of these
    is seen in four of five samples by a test at .01 (measured: .85 at 100 humans, .75 at 60). The
    estimate moves by ``lambda sum_j pi_j g'x_j d_j``, d_j the change of the pool's mean belief in a
    cell.
    """
    terms = list(moments.pairs.fit.params.index)
    f = moments.pairs.pool.f
    if moments.sampled or not moments.pairs.outside or "const" not in terms:
        return None
    if not ((f >= 0) & (f <= 1)).all():
        return None
    at = terms.index("const")
    spread = float(
        np.sqrt(scores.q[:, at] @ scores.q[:, at] + scores.pool[:, at] @ scores.pool[:, at])
    )
    with np.errstate(divide="ignore"):
        odds = np.log(f) - np.log1p(-f)
    pull = moments.pull(direction)

    def changed(shift: float) -> Array:
        side = moments.pairs.pool
        return moments.means(side, sigmoid(odds + shift)) - moments.means(side, f)

    ends = []
    for sign in (-1.0, 1.0):
        low, high = 0.0, _MOST
        if abs(float(moments.share @ changed(sign * high))) < SEEN * spread:
            return Unseen(float("inf"), float("inf"), float("inf"))
        for _ in range(40):
            middle = (low + high) / 2
            seen = abs(float(moments.share @ changed(sign * middle))) >= SEEN * spread
            low, high = (low, middle) if seen else (middle, high)
        ends.append((high, abs(lam * float(moments.share * pull @ changed(sign * high)))))
    shift, moved = (max(v) for v in zip(*ends, strict=True))
    return Unseen(shift, moved, moved / se if se > 0 else float("inf"))
