"""What a fit tends to where its maximum does not exist."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from llmdemand.errors import DesignError
from llmdemand.modeling.arrays import Array
from llmdemand.modeling.likelihood.protocol import Concave
from llmdemand.modeling.likelihood.separating import in_units
from llmdemand.modeling.optimum.newton import newton
from llmdemand.modeling.variance.covariance import covariance
from llmdemand.modeling.variance.estimated import Estimated
from llmdemand.modeling.variance.vcov import SSC, Covariance

__all__ = ["limit", "supremum"]


def supremum(data: Concave, direction: Array) -> float:
    """The likelihood's least upper bound, approached along a separating direction."""
    if data.corrected:
        return np.inf  # outcomes beyond [0, 1] gain without end
    rest = data.undecided(direction)
    if rest is None:
        return 0.0
    # What is left determines fewer coefficients: Newton moves in their span.
    return newton(rest.projected(_span(rest)), gain=1e-12).llf


def limit(
    data: Concave, back: Array, direction: Array, asked: Covariance, ssc: SSC
) -> tuple[Array, Estimated]:
    """Estimates at the end of a separating direction: infinite, finite, or not determined.

    What stays uncertain there (`Likelihood.undecided`) is a smaller sample with a maximum of
    its own. A coefficient that does not diverge and lies in the span of that sample's
    regressors has a finite limit and a covariance; any other finite one is NaN.
    """
    moving = in_units(back, direction)
    with np.errstate(invalid="ignore"):
        params = np.where(moving == 0, np.nan, np.sign(moving) * np.inf)
    cov = np.where(np.diag(moving != 0), np.inf, np.nan)
    nothing = Estimated(
        cov=cov,
        name=f"none ({asked.kind} was asked for; no estimate is finite)",
        factor="none",
        clusters=None,
        df=np.inf,
        notes=(),
    )
    rest = data.undecided(direction)
    span = np.zeros((len(moving), 0)) if rest is None else _span(rest)
    # Rows of `back` are the coefficients in the standardised ones.
    outside = back - back @ span @ span.T
    size = np.linalg.norm(back, axis=1)
    known = (moving == 0) & (np.linalg.norm(outside, axis=1) < 1e-8 * size)
    if rest is None or not known.any():
        return params, nothing
    part = rest.projected(span)
    found = newton(part.merged())
    if not found.converged:
        return params, nothing
    way, both = back @ span, np.outer(known, known)
    params[known] = (way @ found.params)[known]
    try:
        estimated = covariance(part, found.params, found.information, asked, ssc).turned(way)
    except DesignError as error:
        # Too few observations or clusters are left for this covariance.
        return params, replace(nothing, notes=(str(error),))
    cov[both] = estimated.cov[both]
    note = (
        f"finite estimates are the limits, from the {part.nobs:.12g} observations that the "
        "infinite ones leave uncertain"
    )
    return params, replace(estimated, cov=cov, notes=(*estimated.notes, note))


def _span(data: Concave) -> Array:
    """Orthonormal directions in which the data have any information, (K, F)."""
    values, vectors = np.linalg.eigh(data.information(np.zeros(data.size)))
    return np.asarray(vectors[:, values > 1e-10 * values.max()])
