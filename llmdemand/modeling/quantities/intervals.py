"""From a function of the coefficients to estimates with intervals."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypedDict

import numpy as np

from llmdemand.errors import DesignError, UsageError, choose
from llmdemand.modeling.arrays import Array
from llmdemand.modeling.estimation.options import alpha_of
from llmdemand.modeling.likelihood.cells import sigmoid
from llmdemand.modeling.likelihood.kernels import Kernel, Numbers
from llmdemand.modeling.passes.spread import Spread
from llmdemand.modeling.quantities.quantity import Quantity
from llmdemand.modeling.sample.designs import Design
from llmdemand.modeling.variance.noise import Quiet

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "CI",
    "Drawn",
    "Fit",
    "Intervals",
    "Value",
    "coefficients",
    "fieller",
    "gradient",
    "infer",
    "law_of",
    "ready",
]

CI = Literal["delta", "krinsky-robb", "bootstrap", "fieller"]
Value = Callable[[Numbers], Numbers]

_WEAK = 3.0  # |b| / SE under which a ratio with b below is not nearly normal
_STEP = 1e-30


class Drawn(TypedDict, total=False):
    """The attributes of `Intervals`, as keywords."""

    ci: CI | None
    alpha: float | None
    level: float | None
    reps: int
    seed: int


@dataclass(frozen=True)
class Intervals:
    """How intervals are made.

    Attributes
    ----------
    ci : str, optional
        ``delta`` (t law; on the log-odds scale for shares, so that bounds lie in (0, 1)),
        ``krinsky-robb`` (percentiles over draws from ``N(params, cov)``), ``bootstrap``
        (percentiles over refits), or ``fieller`` for ratios. By default delta, but Fieller for
        a ratio whose denominator is less than 3 standard errors from zero.
    alpha, level : float, optional
        One minus the confidence level, or the level; 95 % by default.
    reps, seed : int
        Draws of Krinsky-Robb or of the bootstrap, and their seed.

    Raises
    ------
    UsageError
        For impossible values.
    """

    ci: CI | None = None
    alpha: float | None = None
    level: float | None = None
    reps: int = 1000
    seed: int = 1

    def __post_init__(self) -> None:
        if self.ci is not None:
            choose(self.ci, CI, "ci")
        if self.reps < 2:
            raise UsageError(f"reps={self.reps}: give at least 2 draws, better 1000")


class Fit(Protocol):
    """What a quantity needs of a fitted demand."""

    @property
    def params(self) -> pd.Series[float]:
        """Coefficients by term."""

    @property
    def cov(self) -> pd.DataFrame:
        """Their covariance."""

    @property
    def df(self) -> float:
        """Degrees of freedom of the reference t law."""

    @property
    def separated(self) -> bool:
        """Whether the maximum does not exist."""

    @property
    def converged(self) -> bool:
        """Whether the maximum was found."""

    @property
    def design(self) -> Design | None:
        """From data frames to regressors."""

    @property
    def frame(self) -> pd.DataFrame | None:
        """The sample."""

    @property
    def weights(self) -> Array:
        """Observations times sampling weight of each case."""

    @property
    def outcome(self) -> str:
        """Name of the outcome."""

    @property
    def kernel(self) -> Kernel:
        """From utilities to shares."""

    @property
    def quiet(self) -> tuple[Quiet, ...]:
        """Directions of the coefficients without noise."""

    def draws(self, reps: int = ..., seed: int = ...) -> Array:
        """Coefficients of bootstrap samples."""


def coefficients(fit: Fit) -> Array:
    """The coefficients as an array."""
    return np.asarray(fit.params, np.float64)


def ready(fit: Fit, what: str) -> tuple[Design, pd.DataFrame]:
    """The design and sample of a fit that has quantities.

    Raises
    ------
    DesignError
        For a separated fit, and for one from arrays.
    """
    finite = np.isfinite(coefficients(fit)).all() and np.isfinite(np.asarray(fit.cov)).all()
    if not finite:
        reason = (
            "the data are separated, so the maximum of the likelihood does not exist and the "
            "estimates are infinite: fit with separation='firth' (Firth's penalised likelihood), "
            "or collect more runs"
            if fit.separated
            else "coefficients or covariance are not finite"
        )
        raise DesignError(f"{what} of {fit.outcome!r} does not exist: {reason}")
    if isinstance(getattr(fit, "data", None), Spread):
        raise DesignError(
            f"{what} of {fit.outcome!r} needs the rows, which differ from each other and stayed in "
            "their files: leave out what makes every row different, or fit a sample of them"
        )
    if fit.design is None or fit.frame is None:
        raise DesignError(
            f"{what} of {fit.outcome!r}: the fit is from arrays, which do not say what a price "
            "is; fit with a formula and a data frame"
        )
    return fit.design, fit.frame


def law_of(df: float) -> str:
    """The reference law in words.

    >>> law_of(39.0), law_of(float("inf"))
    ('t with 39 degrees of freedom', 'normal law')
    """
    return "normal law" if np.isinf(df) else f"t with {df:g} degrees of freedom"


def gradient(value: Value, params: Array) -> Array:
    """Derivatives of `value` by complex steps, (M, K); exact to rounding.

    >>> gradient(lambda b: np.array([b[0] * np.exp(b[1])]), np.array([2.0, 0.0])).tolist()
    [[1.0, 2.0]]
    """
    columns = []
    for k in range(len(params)):
        moved = params.astype(complex)
        moved[k] += 1j * _STEP
        columns.append(np.imag(value(moved)) / _STEP)
    return np.column_stack(columns)


def fieller(
    above: Array, below: Array, params: Array, cov: Array, t: float
) -> tuple[float, float, str]:
    """Fieller's confidence set of ``-(above @ params) / (below @ params)``.

    Returns
    -------
    lower, upper : float
        Its ends; the whole line where the set is not an interval.
    shape : str
        ``interval``, ``line``, or ``outside l to u`` where the set is all numbers but those.

    Notes
    -----
    All ratios r that a t test of ``(above + r below) @ params = 0`` does not reject (Fieller
    1954): a quadratic inequality. The set is unbounded where the denominator does not differ
    from zero at that level.
    """
    a, c = above @ params, below @ params
    square = c * c - t * t * (below @ cov @ below)
    middle = a * c - t * t * (above @ cov @ below)
    rest = a * a - t * t * (above @ cov @ above)
    under = middle * middle - square * rest
    if square > 0:
        # Under rounding only can `under` be negative: the estimate itself is in the set.
        half = np.sqrt(np.maximum(under, 0.0))
        return float((-middle - half) / square), float((-middle + half) / square), "interval"
    if square == 0 or under <= 0:
        return -np.inf, np.inf, "line"
    ends = sorted(float((-middle + s * np.sqrt(under)) / square) for s in (-1, 1))
    return -np.inf, np.inf, f"outside {ends[0]:.5g} to {ends[1]:.5g}"


def infer(
    fit: Fit,
    value: Value,
    *,
    name: str,
    keys: pd.DataFrame,
    rule: str,
    unit: str,
    notes: Sequence[str] = (),
    drawn: Drawn,
    shares: Any = False,
    ratio: tuple[Array, Array] | None = None,
    ratio_wanted: bool = False,
) -> Quantity:
    """Estimates and intervals of a function of the coefficients.

    Parameters
    ----------
    fit : Fit
        A fitted demand.
    value : function
        From coefficients (K,), real or complex, to estimates (M,).
    name, keys, rule, unit, notes
        See `Quantity`; `keys` has M rows.
    drawn : mapping
        See `Intervals`.
    shares : bool or (M,) array of bool
        Which estimates are shares.
    ratio : pair of (M, K) arrays, optional
        `above` and `below` if the estimates are ``-(above @ b) / (below @ b)``.
    ratio_wanted : bool
        That Fieller was asked of something that can be a ratio, but here is none.

    References
    ----------
    Krinsky & Robb (1986), Review of Economics and Statistics 68; Fieller (1954), Journal of
    the Royal Statistical Society B 16; Hole (2007), Health Economics 16, compares them.
    """
    from scipy import stats

    how = Intervals(**drawn)
    ci, alpha = how.ci, alpha_of(how.alpha, how.level)
    b, cov = coefficients(fit), np.asarray(fit.cov.to_numpy(), np.float64)
    estimate = np.real(value(b)).astype(np.float64)
    says = list(notes)
    if not fit.converged:
        says.append("the fit did not converge: these are values at its last step")
    if ratio is not None and ci in (None, "fieller"):
        strength = _strength(ratio[1], b, cov)
        if ci is None and strength < _WEAK:
            ci = "fieller"
            says.append(
                f"Fieller because the denominator is only {strength:.2g} standard errors from zero"
            )
    if ci == "fieller" and ratio is None:
        extra = " that is the same in every observation" if ratio_wanted else ""
        raise UsageError(
            f"ci='fieller' is for ratios of two linear functions of the coefficients{extra}: "
            f"{name} is none here; use 'delta', 'krinsky-robb' or 'bootstrap'"
        )
    level = f"{100 * (1 - alpha):g} %"
    t = float(stats.t.ppf(1 - alpha / 2, fit.df))
    slopes: Array | None = None
    law = law_of(fit.df)
    if ci in ("krinsky-robb", "bootstrap"):
        draws = _normal(b, cov, how) if ci == "krinsky-robb" else fit.draws(how.reps, how.seed)
        se, lower, upper, text, more = _percentiles(value, draws, len(estimate), alpha, ci)
        said = f"{level}, {text}, seed {how.seed}"
        says += more
    else:
        slopes = gradient(value, b)
        variance = np.einsum("ij,jk,ik->i", slopes, cov, slopes)
        if (variance < -1e-10 * np.abs(slopes).max(initial=0) ** 2 * np.abs(cov).max()).any():
            raise DesignError(
                f"{name}: the covariance gives a negative variance, so it is not positive "
                "definite; use another vcov"
            )
        # A variance that is zero by construction may be rounded below zero.
        se = np.sqrt(np.maximum(variance, 0.0))
        lower, upper = estimate - t * se, estimate + t * se
        said = f"{level}, delta method, {law}"
        on_odds = np.broadcast_to(np.asarray(shares, bool), estimate.shape)
        on_odds = on_odds & (estimate > 0) & (estimate < 1)
        if on_odds.any():
            s = estimate[on_odds]
            odds, half = np.log(s) - np.log1p(-s), t * se[on_odds] / (s * (1 - s))
            lower[on_odds], upper[on_odds] = sigmoid(odds - half), sigmoid(odds + half)
            said = f"{level}, delta method on the log-odds of shares, {law}"
        if ci == "fieller":
            assert ratio is not None
            said = f"{level}, Fieller, {law}; se by the delta method"
            for i in range(len(estimate)):
                lower[i], upper[i], shape = fieller(ratio[0][i], ratio[1][i], b, cov, t)
                if shape != "interval":
                    says.append(_unbounded(shape, i, len(estimate)))
    if fit.quiet:
        slopes = gradient(value, b) if slopes is None else slopes
        still = np.any([found.silent(slopes) for found in fit.quiet], axis=0)
        se[still], lower[still], upper[still] = 0.0, estimate[still], estimate[still]
        if still.any():
            which = "" if still.all() else f" of {int(still.sum())} of {len(still)} rows"
            says.append(
                f"the interval{which} has no width because the data hold no noise there "
                f"({fit.quiet[0].why}), not because it is precise"
            )
    if not np.isfinite(se).all():
        says.append("a standard error is nan where it does not exist")
    table = keys.reset_index(drop=True).assign(estimate=estimate, se=se, lower=lower, upper=upper)
    return Quantity(name, table, rule, said, unit, tuple(dict.fromkeys(says)), slopes)


def _strength(below: Array, b: Array, cov: Array) -> float:
    """The least |denominator| / SE over the rows."""
    se = np.sqrt(np.einsum("ij,jk,ik->i", below, cov, below))
    with np.errstate(divide="ignore"):
        return float((np.abs(below @ b) / se).min())


def _unbounded(shape: str, row: int, rows: int) -> str:
    where = f"row {row + 1}: " if rows > 1 else ""
    if shape == "line":
        return f"{where}Fieller's set is the whole line: the denominator may be zero"
    return f"{where}Fieller's set is everything {shape}: the denominator may be zero"


def _normal(b: Array, cov: Array, how: Intervals) -> Array:
    values, vectors = np.linalg.eigh(cov)
    if values.min() < -1e-10 * values.max():
        raise DesignError(
            "the covariance is not positive definite, so nothing can be drawn from it: use "
            "another vcov, or ci='delta' or 'bootstrap'"
        )
    # The symmetric root: signs of eigenvectors differ between machines, draws must not.
    root = (vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T
    normal = np.random.default_rng(how.seed).standard_normal((how.reps, len(b)))
    return np.asarray(b + normal @ root.T)


def _percentiles(
    value: Value, draws: Array, size: int, alpha: float, ci: str
) -> tuple[Array, Array, Array, str, list[str]]:
    found = np.full((len(draws), size), np.nan)
    for i, b in enumerate(draws):
        if np.isfinite(b).all():
            try:
                found[i] = np.real(value(b))
            except DesignError:
                continue  # counted below
    good = ~np.isnan(found).any(axis=1)
    refits = "refits by the bootstrap" if ci == "bootstrap" else "Krinsky-Robb draws"
    if good.sum() < 2:
        raise DesignError(f"of {len(draws)} {refits} fewer than 2 have an estimate")
    kept = found[good]
    text = f"percentiles of {good.sum()} {refits}"
    notes = []
    if not good.all():
        notes.append(f"{(~good).sum()} of {len(draws)} {refits} have no estimate and are left out")
    ends = [alpha / 2, 1 - alpha / 2]
    if np.isfinite(kept).all():
        low, high = np.quantile(kept, ends, axis=0)
        return kept.std(axis=0, ddof=1), low, high, text, notes
    # Infinite draws have a place among the percentiles, but no mean.
    low, high = (np.quantile(kept, e, axis=0, method="closest_observation") for e in ends)
    finite = np.isfinite(kept).all(axis=0)
    se = np.full(size, np.nan)
    se[finite] = kept[:, finite].std(axis=0, ddof=1)
    notes.append(f"{(~np.isfinite(kept)).any(axis=1).sum()} of {len(draws)} {refits} are infinite")
    return se, low, high, text, notes
