"""One fit: existence, Newton's method, covariance, results."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from llmdemand.errors import DesignError, UsageError, nearest
from llmdemand.modeling.binary import standardise
from llmdemand.modeling.covariance import Estimated, covariance
from llmdemand.modeling.designs import Design
from llmdemand.modeling.likelihood import Array, Likelihood
from llmdemand.modeling.newton import NewtonFit, newton
from llmdemand.modeling.results import LogitResults
from llmdemand.modeling.separation import divergence, in_units
from llmdemand.modeling.vcov import SSC, Covariance

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "Kind",
    "Separation",
    "SeparationWarning",
    "Source",
    "Vcov",
    "check_regressors",
    "check_variables",
    "estimate",
]

Separation = Literal["warn", "raise", "firth"]
#: See `llmdemand.modeling.vcov.parse_vcov`.
Vcov = str | Sequence[str] | Mapping[str, Any] | Covariance
Kind = Literal["Binary logit", "Fractional logit", "Multinomial logit", "Conditional logit"]


class SeparationWarning(UserWarning):
    """The maximum of the likelihood does not exist; estimates are infinite."""


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
    """

    design: Design | None
    frame: pd.DataFrame | None
    outcome: str
    kind: Kind
    dropped: int = 0


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
        See `llmdemand.modeling.vcov.parse_vcov`.
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
    # Prices of 3e-6 or years of 2026: all is computed in standardised regressors.
    z, back = data.standardised()
    core = z.merged()
    found = newton(core, firth=firth)
    direction = None if firth else divergence(core, found)
    if direction is not None:
        moving = in_units(back, direction)
        _tell(moving, terms, source, separation)
        params, estimated = _infinite(moving, asked)
    elif not found.converged:
        raise DesignError(
            f"{source.outcome}: no maximum found in {found.iterations} steps, though it exists: "
            "the regressors differ too much in scale or are nearly collinear"
        )
    else:
        estimated = covariance(z, found.params, found.information, asked, ssc, firth=firth)
        params = back @ found.params
        estimated = replace(estimated, cov=back @ estimated.cov @ back.T)
    llf = found.llf if direction is None else _supremum(core, direction)
    return _results(
        data, params, estimated, found, llf, list(terms), source, firth, asked=asked, ssc=ssc
    )


def _supremum(data: Likelihood, direction: Array) -> float:
    """The likelihood's least upper bound, approached along a separating direction."""
    rest = data.undecided(direction)
    if rest is None:
        return 0.0
    start = np.zeros(rest.size)
    values, vectors = np.linalg.eigh(rest.information(start))
    # What is left determines fewer coefficients: Newton moves in their span.
    return newton(rest, start=start, free=vectors[:, values > 1e-10 * values.max()], gain=1e-12).llf


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
        llnull=data.llnull(),
        nobs=data.nobs,
        dropped=source.dropped,
        vcov=estimated.name,
        ssc=estimated.factor,
        clusters=estimated.clusters,
        df=estimated.df,
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


def _infinite(direction: Array, asked: Covariance) -> tuple[Array, Estimated]:
    """Infinite estimates along the direction; the others are not identified by a number."""
    with np.errstate(invalid="ignore"):
        params = np.where(direction == 0, np.nan, np.sign(direction) * np.inf)
    cov = np.where(np.eye(len(direction), dtype=bool), np.inf, np.nan)
    name = f"none ({asked.kind} was asked for; the estimates are infinite)"
    return params, Estimated(cov=cov, name=name, factor="none", clusters=None, df=np.inf, notes=())


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
