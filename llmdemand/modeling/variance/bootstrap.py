"""The pairs bootstrap of logits, and what bootstraps share: refits and multipliers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from llmdemand.errors import DesignError, UsageError, choose
from llmdemand.modeling.arrays import Array, Codes
from llmdemand.modeling.batch.batch import fit_batch
from llmdemand.modeling.likelihood.cases import Cases
from llmdemand.modeling.likelihood.cells import Cells
from llmdemand.modeling.likelihood.protocol import Likelihood
from llmdemand.modeling.optimum.ascent import maximise, scaled
from llmdemand.modeling.optimum.newton import NewtonFit
from llmdemand.modeling.variance.clusters import cluster_codes, observed
from llmdemand.scale.executors import Executor
from llmdemand.scale.merging import mapped

__all__ = ["Draws", "Weights", "multipliers", "pairs_bootstrap", "refit"]

Weights = Literal["rademacher", "webb", "mammen"]
Bools = NDArray[np.bool_]

_POINTS = 512  # designs of at most so many distinct rows are fitted from sums per row
_TOGETHER = 8  # fits that a worker is given at a time
_CHUNK = 1 << 22  # elements of a (draws x units) working array


@dataclass(frozen=True)
class Draws:
    """Estimates of bootstrap samples.

    Attributes
    ----------
    params : (B, K) array
        Coefficients; rows of NaN where a sample has no estimate.
    failed : (B,) bool array
        Samples without an estimate: separated, or with collinear regressors.
    units : int
        Observations or clusters that were resampled.
    unit : str
        What they are, in words.
    seed : int
        The seed.
    """

    params: Array
    failed: Bools
    units: int
    unit: str
    seed: int

    def covariance(self) -> Array:
        """Covariance of the estimates about their mean, divisor B - 1, failed samples left out.

        With failed samples it is that of the estimates *given that they exist*, which
        understates the uncertainty: see `text`.

        Raises
        ------
        DesignError
            If more than half of the samples have no estimate, or fewer than two have one.
        """
        good = self.params[~self.failed]
        if len(good) < 2 or 2 * len(good) < len(self.params):
            raise DesignError(
                f"{self.failed.sum()} of {len(self.params)} bootstrap samples have no estimate "
                "(separated or collinear): there is no bootstrap covariance; collect more runs, "
                "or use Firth's estimates (separation='firth')"
            )
        centred = good - good.mean(axis=0)
        return np.asarray(centred.T @ centred / (len(good) - 1))

    @property
    def text(self) -> str:
        """What was drawn, and what failed, in a sentence."""
        said = f"{len(self.params)} bootstrap samples of {self.units} {self.unit}, seed {self.seed}"
        if self.failed.any():
            said += (
                f"; {self.failed.sum()} of them have no estimate (separated or collinear) and are "
                "left out: what remains understates the uncertainty"
            )
        return said


def pairs_bootstrap(
    data: Likelihood,
    params: NDArray[np.floating[Any]] | None = None,
    group: str | None = None,
    *,
    reps: int = 999,
    seed: int = 1,
    firth: bool = False,
    executor: Executor = None,
) -> Draws:
    """Estimates of samples drawn with replacement, by cluster or by observation.

    Parameters
    ----------
    data : Likelihood
        Cells or choice situations, in the caller's units.
    params : (K,) array, optional
        The estimate: where Newton's method begins.
    group : str, optional
        Clusters to draw, a name in ``data.groups``: G clusters are drawn from G, each with
        all its observations. By default observations are drawn, N from N.
    reps : int
        B, the number of samples.
    seed : int
        Sample b is drawn by ``numpy.random.default_rng((seed, b))``: it does not depend on
        `reps`, nor on how the work is divided.
    firth : bool
        Firth's estimates.
    executor : None, int, str or dask.distributed.Client
        Who fits the samples: see `llmdemand.scale.merging.map_merge`. Those that are fitted all
        at once this process fits.

    Returns
    -------
    Draws

    Raises
    ------
    UsageError
        For an unknown column; for fractional outcomes that are held as sums over several
        observations, when observations are to be drawn: their values are gone. Outcomes of
        0 and 1 are not: their sum tells how many there were of each.
    DesignError
        With one cluster.

    Notes
    -----
    Davison & Hinkley (1997), section 7.2; Cameron, Gelbach & Miller (2008) for clusters.
    Frequency weights count observations, each of which is drawn by itself; sampling weights
    go with their observation. Samples that are separated or whose regressors are collinear
    have no estimate; they are marked, not hidden. Where the regressors take few distinct
    values, samples are fitted all at once from sums per value.

    Examples
    --------
    >>> x = np.column_stack([np.ones(8), [1, 2, 3, 4] * 2])
    >>> y = np.array([0.9, 0.6, 0.5, 0.1, 0.8, 0.7, 0.3, 0.2])
    >>> draws = pairs_bootstrap(Cells.of_rows(x, y), reps=200)
    >>> draws.text
    '200 bootstrap samples of 8 observations, seed 1'
    >>> np.sqrt(np.diag(draws.covariance())).round(1).tolist()
    [0.3, 0.1]
    """
    _check_reps(reps)
    data = observed(data)
    if group is None:
        data = _distinct(data)
        count = data.observations
        whole = round(float(count.sum()))
        codes = np.arange(len(count))
        draw = partial(_observations, seed=seed, count=count)
        units, total, unit = len(count), whole, "observations"
    else:
        codes, units = cluster_codes(data, group)
        draw = partial(_clusters, seed=seed, units=units)
        total, unit = units, f"clusters of {group!r}"
    z, back = scaled(data)
    start = None
    if params is not None and np.isfinite(params).all():
        start = np.linalg.solve(back, params)
    found, exists = refit(z, codes, units, draw, reps, start=start, firth=firth, executor=executor)
    return Draws(found @ back.T, ~exists, total, unit, seed)


def _observations(b: int, seed: int, count: Array) -> Array:
    """How often each observation of a row is drawn in sample b."""
    whole = round(float(count.sum()))
    drawn = np.random.default_rng((seed, b)).multinomial(whole, count / count.sum())
    return np.asarray(drawn / count)


def _clusters(b: int, seed: int, units: int) -> Array:
    """How often each cluster is drawn in sample b."""
    chosen = np.random.default_rng((seed, b)).integers(units, size=units)
    return np.bincount(chosen, minlength=units).astype(np.float64)


def refit(
    data: Likelihood,
    codes: Codes,
    units: int,
    weights: Callable[[int], Array],
    reps: int,
    *,
    start: Array | None = None,
    firth: bool = False,
    executor: Executor = None,
) -> tuple[Array, Bools]:
    """Estimates of the same data under other weights.

    Parameters
    ----------
    data : Likelihood
        In regressors of comparable scale.
    codes : (M,) int array
        Unit of each row, 0 to U - 1.
    units : int
        U.
    weights : function of int
        Weights of the units in fit b, (U,); for other processes one that a module defines, or
        a partial of it.
    reps, start, firth, executor
        B, the number of fits, and how they are made: see `pairs_bootstrap`, `newton`.

    Returns
    -------
    params : (B, K) array
        NaN where there is no estimate.
    exists : (B,) bool array
    """
    if isinstance(data, Cells) and data.offset is None and not data.corrected:
        points, point = np.unique(data.x, axis=0, return_inverse=True)
        if len(points) <= _POINTS:
            return _refit_sums(data, codes, units, weights, reps, points, point.reshape(-1), firth)
    fits = _Fits(data, codes, weights, start, firth)
    some = [range(b, min(b + _TOGETHER, reps)) for b in range(0, reps, _TOGETHER)]
    params, exists = zip(*mapped(fits, some, executor), strict=True)
    return np.concatenate(params), np.concatenate(exists)


@dataclass(frozen=True)
class _Fits:
    """Some fits under other weights, by their numbers; see `refit`."""

    data: Likelihood
    codes: Codes
    weights: Callable[[int], Array]
    start: Array | None
    firth: bool

    def __call__(self, numbers: range) -> tuple[Array, Bools]:
        params = np.full((len(numbers), self.data.size), np.nan)
        exists = np.zeros(len(numbers), bool)
        for row, b in enumerate(numbers):
            part = self.data.weighted(self.weights(b)[self.codes])
            found = maximise(part, start=self.start, firth=self.firth)
            exists[row] = _exists(part, found, self.firth)
            if exists[row]:
                params[row] = found.params
        return params, exists


def _refit_sums(
    data: Cells,
    codes: Codes,
    units: int,
    weights: Callable[[int], Array],
    reps: int,
    points: Array,
    point: Codes,
    firth: bool,
) -> tuple[Array, Bools]:
    from scipy.sparse import csr_array

    n = data.count * data.weight
    shape = (units, len(points))
    # Entries of the same unit and point add up.
    count = csr_array((n, (codes, point)), shape=shape)
    total = csr_array((n * data.mean, (codes, point)), shape=shape)
    params, exists = [], []
    size = max(1, _CHUNK // units)
    for first in range(0, reps, size):
        w = np.stack([weights(b) for b in range(first, min(reps, first + size))])
        found = fit_batch(points, w @ count, w @ total, firth=firth)
        good = found.converged & np.isfinite(found.params).all(axis=1)
        params.append(np.where(good[:, None], found.params, np.nan))
        exists.append(good)
    return np.concatenate(params), np.concatenate(exists)


def _exists(data: Likelihood, found: NewtonFit, firth: bool) -> bool:
    """Whether Newton's method ended at a maximum, not where rounding stopped it."""
    if not found.converged or not np.isfinite(found.params).all():
        return False
    if _conditioned(found.information) > 1e-10:
        return True
    if not isinstance(data, Cells | Cases):
        return False
    # Nearly flat somewhere: decide exactly.
    if _conditioned(data.information(np.zeros(data.size))) < 1e-12:
        return False
    return firth or data.separating_direction() is None


def _conditioned(information: Array) -> float:
    """The least of the eigenvalues over the largest, in units that make the diagonal one."""
    size = np.abs(np.diag(information))
    scale = 1 / np.sqrt(np.where(size > 0, size, 1.0))
    values = np.linalg.eigvalsh(information * np.outer(scale, scale))
    return float(values[0] / values[-1]) if values[-1] > 0 else 0.0


def _distinct(data: Likelihood) -> Likelihood:
    """Rows whose observations are all equal: cells of zeros and ones in two."""
    if not isinstance(data, Cells) or not data.within.any():
        return data
    binary = data.count * data.mean * (1 - data.mean)
    mixed = data.within > 0
    if (np.abs(data.within - binary)[mixed] > 1e-9 * data.count[mixed]).any():
        raise UsageError(
            "fractional outcomes are held as sums over equal regressors: their observations "
            "cannot be resampled; name a cluster column, as in vcov={'pairs': 'cell'}"
        )
    twice = np.concatenate([np.arange(len(mixed)), np.flatnonzero(mixed)])
    ones = np.where(mixed, data.count * data.mean, data.count)
    return replace(
        data,
        x=data.x[twice],
        count=np.concatenate([ones, (data.count - ones)[mixed]]),
        mean=np.concatenate([np.where(mixed, 1.0, data.mean), np.zeros(int(mixed.sum()))]),
        within=np.zeros(len(twice)),
        weight=data.weight[twice],
        groups={name: codes[twice] for name, codes in data.groups.items()},
        offset=None if data.offset is None else data.offset[twice],
    )


def _check_reps(reps: int) -> None:
    if reps < 2:
        raise UsageError(f"reps={reps}: a bootstrap needs at least 2 draws, better 999")


def multipliers(
    clusters: int, reps: int, seed: int, weights: Weights = "rademacher"
) -> tuple[Array, bool]:
    """Random signs or weights of clusters, and whether they are all there are.

    Parameters
    ----------
    clusters : int
        G.
    reps : int
        Draws, if there are more Rademacher vectors than that.
    seed : int
        Draw b comes from ``numpy.random.default_rng((seed, b))``.
    weights : str
        ``rademacher``: -1 or 1. ``webb``: minus or plus the roots of 1/2, 1 and 3/2 (Webb
        2014), for fewer than about ten clusters. ``mammen``: (1 - sqrt 5)/2 with probability
        (sqrt 5 + 1)/(2 sqrt 5), else (1 + sqrt 5)/2 (Mammen 1993).

    Returns
    -------
    v : (B, G) array
        All 2^G vectors of signs if there are no more than `reps` of them.
    enumerated : bool

    Examples
    --------
    >>> v, enumerated = multipliers(3, 999, 1)
    >>> v.shape, enumerated
    ((8, 3), True)
    """
    choose(weights, Weights, "weights")
    _check_reps(reps)
    if weights == "rademacher" and clusters < 31 and 2**clusters <= reps:
        bits = np.arange(2**clusters)[:, None] >> np.arange(clusters) & 1
        return np.asarray(1.0 - 2.0 * bits), True
    root = np.sqrt(5.0)
    values, chance = {
        "rademacher": (np.array([-1.0, 1.0]), np.array([0.5, 0.5])),
        "webb": (
            np.sqrt([1.5, 1.0, 0.5, 0.5, 1.0, 1.5]) * [-1, -1, -1, 1, 1, 1],
            np.full(6, 1 / 6),
        ),
        "mammen": (
            np.array([1 - root, 1 + root]) / 2,
            np.array([root + 1, root - 1]) / (2 * root),
        ),
    }[weights]
    edges = np.cumsum(chance)[:-1]
    v = np.empty((reps, clusters))
    for b in range(reps):
        v[b] = values[np.searchsorted(edges, np.random.default_rng((seed, b)).random(clusters))]
    return v, False
