"""The likelihood of rows in shards: sums over them, for any coefficients that are asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from llmdemand.errors import UsageError
from llmdemand.modeling.arrays import Array, Codes, triangle
from llmdemand.modeling.likelihood.cells import Cells, log_likelihood, scaling
from llmdemand.modeling.likelihood.conditioning import orthogonal_basis
from llmdemand.modeling.likelihood.separating import separating_direction
from llmdemand.modeling.passes.rows import Numbered, Reader, cluster_tables
from llmdemand.modeling.sample.columns import stacked
from llmdemand.modeling.sample.sample import codes
from llmdemand.scale.session import Session

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["GIVEN", "NEEDS", "OF_ALL", "ROUNDS", "STAYED", "WORST", "Spread", "beside", "projected"]

#: Covariances that passes give.
GIVEN = ("iid", "HC0", "HC1", "HC2", "HC3", "CRV1", "score")
#: What to say of formulas whose terms are made of the whole sample.
OF_ALL = (
    "formula {!r} needs quantiles or means of all rows, which a file read in chunks does not give: "
    "name them, as in bs(price, knots=[33, 37])"
)
#: What to say of a fit in passes.
STAYED = (
    "rows differ from each other and stayed in their files: shares, elasticities and marginal "
    "effects are sums over them, predictions and best prices are not to be had of this fit"
)
#: What to say of what passes do not give.
NEEDS = (
    "{} needs the rows, which are in files, differ from each other and were not kept: leave out "
    "what makes every row different, or fit a sample of them"
)
#: Rows of a part that contradict a direction.
WORST = 64
#: Directions that are tried.
ROUNDS = 100


@dataclass(frozen=True, eq=False)
class Spread:
    """Observations in shards, as a `Likelihood`: each question is a pass over them.

    Rows, as covariances count them, are the clusters; without any all observations are one.

    Attributes
    ----------
    shards : list of pairs
        What is read, numbered.
    rows : Reader
        How it is read.
    survey : Survey or llmdemand.modeling.passes.cases.CaseSurvey
        What is known of all of it, in the caller's units.
    session : Session
        Who does the work.
    basis : (K, K) array
        Regressors are ``x @ basis``.
    """

    shards: list[Numbered]
    rows: Reader
    survey: Any
    session: Session
    basis: Array
    _known: dict[bytes, tuple[float, Array, Array]] = field(default_factory=dict, repr=False)

    #: See `llmdemand.modeling.substitution.smooth.Smooth`.
    paired = False

    @property
    def size(self) -> int:
        """K, the number of coefficients."""
        return int(self.basis.shape[1])

    @property
    def nobs(self) -> float:
        """Observations."""
        return float(self.survey.nobs)

    @property
    def fractional(self) -> bool:
        """Whether some outcome lies strictly between 0 and 1."""
        return not bool(self.survey.binary)

    @property
    def corrected(self) -> bool:
        """No: see `llmdemand.modeling.estimation.binary`."""
        return False

    @property
    def weights_vary(self) -> bool:
        """Whether some sampling weight is not 1."""
        return bool(self.survey.heaviest != 1 or self.survey.lightest != 1)

    @property
    def weight(self) -> Array:
        """The largest sampling weight, for each row."""
        return np.full(len(self.observations), self.survey.heaviest)

    @cached_property
    def _clusters(self) -> pd.DataFrame:
        """Clusters, or combinations of them, and observations of each."""
        names = self.rows.clusters
        return self._tables(partial(_counted, names=names), names)

    @property
    def observations(self) -> Array:
        """Observations in each cluster."""
        if not self.rows.clusters:
            return np.array([self.nobs])
        return self._clusters[0].to_numpy(np.float64)

    @property
    def groups(self) -> Mapping[str, Codes]:
        """Cluster codes of the rows."""
        return {name: codes(self._clusters, [name])[0] for name in self.rows.clusters}

    def llf(self, params: Array) -> float:
        """See `Cells.llf`."""
        return self._point(params)[0]

    def gradient(self, params: Array) -> Array:
        """See `Cells.gradient`."""
        return self._point(params)[1]

    def information(self, params: Array) -> Array:
        """See `Cells.information`."""
        return self._point(params)[2]

    def _point(self, params: Array) -> tuple[float, Array, Array]:
        key = params.tobytes()
        if key not in self._known:
            llf, gradient, information = self._summed(partial(_point, params=params))
            self._known.clear()
            self._known[key] = float(llf), gradient, information
        return self._known[key]

    def evaluated(self, params: Array) -> tuple[float, Array, Array]:
        """See `llmdemand.modeling.substitution.smooth.Smooth`."""
        llf, gradient, information = self._summed(partial(_evaluated, params=params))
        return float(llf), gradient, information

    def constants(self) -> Spread:
        """What has the same outcomes and constants alone."""
        raise UsageError(NEEDS.format("the log-likelihood with constants alone"))

    def scores(self, params: Array) -> Array:
        """Sums of the scores by cluster, (G, K)."""
        names = self.rows.clusters
        if not names:
            return self.gradient(params)[None, :]
        found = self._tables(partial(_scored, params=params, names=names), names)
        return found[list(range(self.size))].to_numpy(np.float64)

    def scatter(self, params: Array) -> Array:
        """R of the QR factors of the scores of single observations, (K, K)."""
        return np.asarray(self._asked(partial(_corner, params=params), _corners))

    def meat(
        self, params: Array, inverse: Array, power: float = 0.0, factor: Array | None = None
    ) -> Array:
        """See `Cells.meat`."""
        assert factor is None
        work = partial(_meat, params=params, inverse=inverse, power=power)
        return np.asarray(self._summed(work)[0])

    def rounding(self, params: Array) -> Array:
        """See `Cells.rounding`."""
        return np.asarray(self._summed(partial(_rounding, params=params))[0])

    def penalty_score(self, params: Array, inverse: Array) -> Array:
        """See `Cells.penalty_score`."""
        return np.asarray(self._summed(partial(_penalty, params=params, inverse=inverse))[0])

    def llnull(self) -> float | None:
        """See `Cells.llnull`."""
        found = self.survey
        mean = found.chosen / found.whole
        if not 0 < mean < 1:
            return 0.0
        if found.offset:
            return float("nan")
        eta = np.array([np.log(mean) - np.log1p(-mean)])
        return log_likelihood(eta, np.array([found.whole]), np.array([found.chosen]))

    def saturated(self) -> float:
        """The log (quasi-)likelihood of a perfect fit."""
        return float(self.survey.entropy)

    def reach(self, step: Array) -> float:
        """No less than the largest change of a log-odds, without a pass."""
        # In standardised regressors, of which none exceeds 1.
        return float(np.abs(np.linalg.solve(self.scale, self.basis @ step)).sum())

    @property
    def scale(self) -> Array:
        """From the caller's regressors to standardised ones, (K, K)."""
        found = self.survey
        return scaling(found.low, found.high, found.total / found.rows)[2]

    def standardised(self) -> tuple[Self, Array]:
        """See `Cells.standardised`, and `Cases.standardised`."""
        back = self.scale
        z = triangle(self.survey.corner @ back)
        more = orthogonal_basis(z)
        if more is not None:
            back = back @ more * np.sqrt(self.survey.rows / len(z))
        return replace(self, basis=self.basis @ back, _known={}), back

    def separating_direction(self) -> Array | None:
        """A direction that no observation contradicts, or None.

        A linear programme of some rows finds one that these do not contradict, or none, which
        proves that there is none at all; a pass finds rows that do, which join them.
        """
        x, y = self.survey.some.x @ self.basis, self.survey.some.mean
        for _ in range(ROUNDS):
            # Of a direction in which no row so far differs the programme says nothing.
            null = bool(np.linalg.matrix_rank(x) < self.size)
            d = np.linalg.svd(x)[2][-1] if null else separating_direction(x, y)
            if d is None:
                return None
            more, outcomes = self._asked(partial(_against, direction=d, both=null), beside)
            if not len(more):
                return np.asarray(d)
            x, y = np.concatenate([x, more]), np.concatenate([y, outcomes])
        raise UsageError(NEEDS.format("the question whether the data are separated"))

    def shares(self, params: Array) -> Array:
        """There are none without rows."""
        raise UsageError(NEEDS.format("a prediction of each row"))

    def weighted(self, factor: Array) -> Spread:
        """There are no other weights."""
        raise UsageError(NEEDS.format("a covariance or bootstrap that fits samples of the rows"))

    @property
    def _made_by(self) -> Callable[[Any], Any]:
        """From a part to what answers."""
        return partial(projected, basis=self.basis)

    def _asked(self, work: Callable[..., Any], merge: Any, *, grouped: bool = False) -> Any:
        """A question to all shards."""
        asked = _Pass(self.rows, work, merge, self._made_by, grouped)
        return self.session.map_merge(asked, self.shards, merge=merge)

    def _summed(self, work: Callable[..., Any]) -> Any:
        return self._asked(work, _added)

    def _tables(self, work: Callable[..., Any], names: tuple[str, ...]) -> pd.DataFrame:
        merge = partial(_stacked, names=names)
        found: pd.DataFrame = self._asked(work, merge, grouped=True)
        # Not in the order in which they came.
        return found.sort_values(list(names), ignore_index=True)


@dataclass(frozen=True)
class _Pass:
    """A question, asked of a shard a part at a time."""

    rows: Reader
    work: Callable[..., Any]
    merge: Callable[[Any, Any], Any]
    made: Callable[[Any], Any]
    grouped: bool

    def __call__(self, shard: Numbered) -> Any:
        found = None
        for part, groups in self.rows.of(shard):
            here = self.work(self.made(part), *([groups] if self.grouped else []))
            found = self.merge(found, here)
        return found


def projected(part: Any, basis: Array, made: Callable[[Any], Any] | None = None) -> Any:
    """A part in the regressors ``x @ basis``, and what is made of it."""
    found = part.projected(basis)
    return found if made is None else made(found)


def _added(one: Any, two: Any) -> Any:
    if one is None or two is None:
        return two if one is None else one
    return tuple(a + b for a, b in zip(one, two, strict=True))


def _corners(one: Array | None, two: Array | None) -> Array | None:
    if one is None or two is None:
        return two if one is None else one
    return triangle(np.concatenate([one, two]))


def beside(one: Any, two: Any) -> Any:
    """Rows of two parts one after the other, array by array."""
    if one is None or two is None:
        return two if one is None else one
    return tuple(np.concatenate([a, b]) for a, b in zip(one, two, strict=True))


def _stacked(one: Any, two: Any, names: tuple[str, ...]) -> Any:
    if one is None or two is None:
        return two if one is None else one
    frame = stacked([one, two])
    values = [c for c in frame.columns if c not in names]
    groups = {name: frame[name] for name in names}
    return cluster_tables(groups, frame[values].to_numpy(np.float64), names)


def _point(cells: Any, params: Array) -> Any:
    return np.float64(cells.llf(params)), cells.gradient(params), cells.information(params)


def _evaluated(data: Any, params: Array) -> Any:
    llf, gradient, information = data.evaluated(params)
    return np.float64(llf), gradient, information


def _meat(cells: Any, params: Array, inverse: Array, power: float) -> Any:
    return (cells.meat(params, inverse, power),)


def _rounding(cells: Any, params: Array) -> Any:
    return (cells.rounding(params),)


def _penalty(cells: Any, params: Array, inverse: Array) -> Any:
    return (cells.penalty_score(params, inverse),)


def _corner(cells: Any, params: Array) -> Array:
    return triangle(cells.scores(params) / np.sqrt(cells.observations)[:, None])


def _counted(cells: Any, groups: Mapping[str, Any], names: tuple[str, ...]) -> pd.DataFrame:
    return cluster_tables(groups, cells.observations[:, None], names)


def _scored(
    cells: Any, groups: Mapping[str, Any], params: Array, names: tuple[str, ...]
) -> pd.DataFrame:
    return cluster_tables(groups, cells.scores(params), names)


def _against(cells: Cells, direction: Array, both: bool) -> tuple[Array, Array]:
    """The rows that contradict a direction most."""
    moved, y = cells.x @ direction, cells.mean
    wrong = np.where(y == 1, -moved, np.where(y == 0, moved, np.abs(moved)))
    if both:
        wrong = np.abs(moved)
    few = np.argsort(wrong)[-WORST:]
    few = few[wrong[few] > 1e-9 * np.abs(direction).sum()]
    return cells.x[few], y[few]
