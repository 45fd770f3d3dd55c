"""One fit: existence, Newton's method, covariance, results."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from llmdemand.errors import DesignError, UsageError, nearest
from llmdemand.modeling.arrays import Array
from llmdemand.modeling.likelihood.cells import standardise
from llmdemand.modeling.likelihood.protocol import Likelihood
from llmdemand.modeling.likelihood.separating import in_units
from llmdemand.modeling.models.results import LogitResults
from llmdemand.modeling.optimum.newton import NewtonFit, newton
from llmdemand.modeling.optimum.separation import divergence
from llmdemand.modeling.sample.designs import Design
from llmdemand.modeling.variance.covariance import Estimated, covariance
from llmdemand.modeling.variance.vcov import SSC, Covariance, parse_vcov

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "Kind",
    "Separation",
    "SeparationWarning",
    "Source",
    "VarianceWarning",
    "Vcov",
    "asked_vcov",
    "check_regressors",
    "check_variables",
    "estimate",
    "weighting",
]

Separation = Literal["warn", "raise", "firth"]
#: See `llmdemand.modeling.variance.vcov.parse_vcov`.
Vcov = str | Sequence[str] | Mapping[str, Any] | Covariance
Kind = Literal["Binary logit", "Fractional logit", "Multinomial logit", "Conditional logit"]


class SeparationWarning(UserWarning):
    """The maximum of the likelihood does not exist; estimates are infinite."""


class VarianceWarning(UserWarning):
    """A covariance that is wrong for these data, or a fit without any noise to learn from."""


@dataclass(frozen=True)
class Source:
    """Where the data of a fit came from: what quantities and refits need.

    Attributes
    ----------
    design : Design or None
        From data frames to regressors; None for arrays.
    frame : pandas.DataFrame or None
        The sample, equal rows merged.
    outcome : str
        Name of the outcome.
    kind : str
        What the model is called.
    dropped : int
        Rows left out.
    weighting : str
        Column and type of the weights.
    """

    design: Design | None
    frame: pd.DataFrame | None
    outcome: str
    kind: Kind
    dropped: int = 0
    weighting: str = "none"


def asked_vcov(
    vcov: Vcov | None, separation: Separation, *, fractional: bool = False
) -> Covariance:
    """What `vcov` names; by default HC1, or iid for Firth's estimates of 0/1 outcomes.

    Where data are separated every residual is small, and a sandwich of small residuals
    looks precise: Fisher's information does not.
    """
    if vcov is None:
        vcov = "iid" if separation == "firth" and not fractional else "HC1"
    return parse_vcov(vcov)


def weighting(weights: str | None, weights_type: str) -> str:
    """How weights are named in a summary."""
    return "none" if weights is None else f"{weights} ({weights_type})"


def estimate(
    data: Likelihood,
    terms: Sequence[str],
    source: Source,
    *,
    asked: Covariance,
    ssc: SSC,
    separation: Separation,
) -> LogitResults:
    """Fit a logit to its data.

    Parameters
    ----------
    data : Likelihood
        In the caller's units.
    terms : sequence of str
        Names of the K coefficients.
    source : Source
        Kept in the results.
    asked : Covariance
        See `llmdemand.modeling.variance.vcov.parse_vcov`.
    ssc : str
        Small-sample factor.
    separation : str
        Where the maximum does not exist: ``warn`` (infinite estimates, as they are),
        ``raise``, or ``firth`` (the penalised estimates, which always exist; used for
        every fit, separated or not, so that the estimator does not depend on the data).

    Raises
    ------
    DesignError
        Under ``raise``; also for covariances that do not exist.
    UsageError
        For an unknown option.

    Warns
    -----
    SeparationWarning
        Under ``warn``.
    """
    if separation not in get_args(Separation):
        raise UsageError(
            f"separation={separation!r}{nearest(str(separation), get_args(Separation))}: "
            "use 'warn', 'raise' or 'firth'"
        )
    firth = separation == "firth"
    if data.weights_vary and (firth or asked.kind == "iid"):
        raise UsageError(
            "sampling weights say nothing of how much information there is: Firth's penalty and "
            "iid standard errors have no meaning; use vcov='HC1' or clusters, without 'firth'"
        )
    # Prices of 3e-6 or years of 2026: all is computed in standardised regressors.
    z, back = data.standardised()
    core = z.merged()
    found = newton(core, firth=firth)
    direction = None if firth else divergence(core, found)
    if direction is not None:
        _tell(in_units(back, direction), terms, source, separation)
        params, estimated = _limit(z, back, direction, asked, ssc)
    elif not found.converged:
        raise DesignError(
            f"{source.outcome}: no maximum found in {found.iterations} steps, though it exists: "
            "the regressors differ too much in scale or are nearly collinear"
        )
    else:
        estimated = covariance(z, found.params, found.information, asked, ssc, firth=firth)
        params = back @ found.params
        notes = estimated.notes + (_separated_note(core, asked, source) if firth else ())
        estimated = replace(estimated, cov=back @ estimated.cov @ back.T, notes=notes)
    llf = found.llf if direction is None else _supremum(core, direction)
    return _results(
        data, params, estimated, found, llf, list(terms), source, firth, asked=asked, ssc=ssc
    )


def _supremum(data: Likelihood, direction: Array) -> float:
    """The likelihood's least upper bound, approached along a separating direction."""
    rest = data.undecided(direction)
    if rest is None:
        return 0.0
    # What is left determines fewer coefficients: Newton moves in their span.
    return newton(rest.projected(_span(rest)), gain=1e-12).llf


def _results(
    data: Likelihood,
    params: Array,
    estimated: Estimated,
    found: NewtonFit,
    llf: float,
    terms: list[str],
    source: Source,
    firth: bool,
    *,
    asked: Covariance,
    ssc: SSC,
) -> LogitResults:
    import pandas as pd

    separated = bool(np.isinf(estimated.cov).any())
    return LogitResults(
        params=pd.Series(params, index=terms),
        cov=pd.DataFrame(estimated.cov, index=terms, columns=terms),
        kind=source.kind,
        outcome=source.outcome,
        llf=llf,
        llnull=_llnull(data),
        nobs=data.nobs,
        dropped=source.dropped,
        vcov=estimated.name,
        ssc=estimated.factor,
        clusters=estimated.clusters,
        df=estimated.df,
        weighting=source.weighting,
        notes=estimated.notes,
        converged=found.converged and not separated,
        separated=separated,
        firth=firth,
        iterations=found.iterations,
        data=data,
        design=source.design,
        frame=source.frame,
        asked=asked,
        asked_ssc=ssc,
    )


def _llnull(data: Likelihood) -> float:
    """Log-likelihood with constants alone; its supremum, where it has no maximum."""
    closed = data.llnull()
    return newton(data.constants(), gain=1e-12).llf if closed is None else closed


def _tell(direction: Array, terms: Sequence[str], source: Source, separation: Separation) -> None:
    """Say that the maximum does not exist, and which estimates run away."""
    pairs = zip(terms, direction, strict=True)
    going = ", ".join(f"{t} to {'+' if d > 0 else '-'}inf" for t, d in pairs if d)
    message = (
        f"{source.outcome}: the data are separated, the maximum does not exist ({going}); "
        "collect more runs, or use Firth's estimates (separation='firth')"
    )
    if separation == "raise":
        raise DesignError(message)
    warnings.warn(message, SeparationWarning, stacklevel=5)


def _separated_note(core: Likelihood, asked: Covariance, source: Source) -> tuple[str, ...]:
    """What to know of Firth's estimate where the plain one does not exist."""
    if divergence(core, newton(core)) is None:
        return ()
    note = (
        "the data are separated: the likelihood is far from a parabola; read "
        "conf_int(kind='profile') in place of estimate and SE"
    )
    if asked.kind != "iid" and not core.fractional:
        warnings.warn(
            f"{source.outcome}: the data are separated, so every residual is small and "
            f"{asked.kind} standard errors look far too precise; use vcov='iid' and "
            "conf_int(kind='profile')",
            VarianceWarning,
            stacklevel=6,
        )
    return (note,)


def _limit(
    data: Likelihood, back: Array, direction: Array, asked: Covariance, ssc: SSC
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
    try:
        estimated = covariance(part, found.params, found.information, asked, ssc)
    except DesignError as error:
        # Too few observations or clusters are left for this covariance.
        way = back @ span
        params[known] = (way @ found.params)[known]
        return params, replace(nothing, notes=(str(error),))
    way = back @ span
    whole = way @ estimated.cov @ way.T
    params[known] = (way @ found.params)[known]
    both = np.outer(known, known)
    cov[both] = whole[both]
    note = (
        f"finite estimates are the limits, from the {part.nobs:.12g} observations that the "
        "infinite ones leave uncertain"
    )
    return params, replace(estimated, cov=cov, notes=(*estimated.notes, note))


def _span(data: Likelihood) -> Array:
    """Orthonormal directions in which the data have any information, (K, F)."""
    values, vectors = np.linalg.eigh(data.information(np.zeros(data.size)))
    return np.asarray(vectors[:, values > 1e-10 * values.max()])


def check_variables(frame: pd.DataFrame, variables: Sequence[str], rows: float) -> None:
    """Refuse variables with a single value, whose terms would be constant or vanish.

    Raises
    ------
    DesignError
        Naming the variable and its value.
    """
    for name in variables:
        if frame[name].nunique() == 1:
            value = frame[name].iloc[0]
            shown = f"{value:g}" if isinstance(value, float) else f"{value}"
            raise DesignError(
                f"{name!r} has one value ({shown}) in all {rows:.12g} rows: its coefficient needs "
                "at least two"
            )


def check_regressors(x: Array, terms: Sequence[str], rows: float, *, within: bool = False) -> None:
    """Refuse regressors that no estimate can be made from.

    Parameters
    ----------
    x : (M, K) array
        Distinct regressors; with `within`, less their means in each case.
    terms : sequence of str
        Their names.
    rows : float
        Observations.
    within : bool
        Whether only differences between the alternatives of a case count.

    Raises
    ------
    DesignError
        Constant regressors, collinear ones (named), fewer observations than coefficients.
    """
    for j, term in enumerate(terms):
        if within and not x[:, j].any():
            raise DesignError(
                f"{term!r} is the same for all alternatives of every case: it cancels; "
                "put regressors of the case after a bar, as in 'choice ~ price | income'"
            )
        if not within and term != "const" and np.ptp(x[:, j]) == 0:
            raise DesignError(
                f"{term!r} has one value ({x[0, j]:g}) in all {rows:.12g} rows: "
                "its coefficient needs at least two"
            )
    if rows <= len(terms):
        raise DesignError(
            f"{rows:.12g} rows cannot fit {len(terms)} coefficients: ask for more runs"
        )
    scaled = x if within else standardise(x)[0]
    scale = np.abs(scaled).max(axis=0)
    # A triangular factor of few rows has the rank of many.
    triangle: Array = np.linalg.qr(scaled / np.where(scale > 0, scale, 1.0)).R
    for j in range(len(terms)):
        if np.linalg.matrix_rank(triangle[:, : j + 1]) <= j:
            makers = _makers(triangle, terms, j)
            raise DesignError(
                f"collinear regressors: {terms[j]!r} is made up of {', '.join(makers) or 'none'}; "
                "remove one of them"
            )


def _makers(triangle: Array, terms: Sequence[str], redundant: int) -> list[str]:
    """The terms that a redundant one is a combination of."""
    weight, *_ = np.linalg.lstsq(triangle[:, :redundant], triangle[:, redundant], rcond=None)
    return [repr(terms[j]) for j in range(redundant) if abs(weight[j]) > 1e-8]
