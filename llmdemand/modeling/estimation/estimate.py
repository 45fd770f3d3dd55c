"""One fit: existence, Newton's method, covariance, results."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, cast

import numpy as np

from llmdemand.errors import DesignError, UsageError, warn
from llmdemand.modeling.arrays import Array
from llmdemand.modeling.estimation.fit import Fit, Kind
from llmdemand.modeling.estimation.limits import limit, supremum
from llmdemand.modeling.estimation.options import Options, Separation
from llmdemand.modeling.likelihood.cases import Cases
from llmdemand.modeling.likelihood.cells import Cells
from llmdemand.modeling.likelihood.protocol import Concave, Likelihood
from llmdemand.modeling.likelihood.separating import in_units
from llmdemand.modeling.optimum.newton import NewtonFit, newton, rough_start
from llmdemand.modeling.optimum.separation import divergence
from llmdemand.modeling.passes.spread import Spread
from llmdemand.modeling.sample.designs import Design
from llmdemand.modeling.substitution.smooth import situations
from llmdemand.modeling.variance.covariance import covariance
from llmdemand.modeling.variance.estimated import Estimated
from llmdemand.modeling.variance.noise import DATA, noted
from llmdemand.modeling.variance.vcov import Covariance

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "SeparationWarning",
    "Source",
    "VarianceWarning",
    "assembled",
    "estimate",
    "estimate_spread",
    "near",
]

_WEIGHTED = (
    "sampling weights say nothing of how much information there is: Firth's penalty and iid "
    "standard errors have no meaning; use vcov='HC1' or clusters, without 'firth'"
)


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
    notes : tuple of str
        What to say of the regressors.
    """

    design: Design | None
    frame: pd.DataFrame | None
    outcome: str
    kind: Kind
    dropped: int = 0
    weighting: str = "none"
    notes: tuple[str, ...] = ()


def estimate(
    data: Cells | Cases,
    terms: Sequence[str],
    source: Source,
    options: Options,
    standardised: tuple[Concave, Array] | None = None,
) -> Fit:
    """Fit a logit to its data.

    Parameters
    ----------
    data : Cells or Cases
        In the caller's units.
    terms : sequence of str
        Names of the K coefficients.
    source : Source
        Kept in the results.
    options : Options
        How.
    standardised : tuple, optional
        What ``data.standardised()`` gave, where it was needed before.

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
    firth, asked, ssc = options.separation == "firth", options.asked(), options.ssc
    if data.weights_vary and (firth or asked.kind == "iid"):
        raise UsageError(_WEIGHTED)
    # Prices of 3e-6 or years of 2026: all is computed in standardised regressors.
    z, back = standardised or data.standardised()
    core = z.merged()
    assert isinstance(core, Cells | Cases)
    found = newton(core, firth=firth, start=_start(core, rough=not firth))
    direction = None if firth else divergence(core, found)
    if direction is not None:
        _tell(in_units(back, direction), terms, source, options.separation)
        params, estimated = limit(z, back, direction, asked, ssc)
    elif not found.converged:
        raise DesignError(
            f"{source.outcome}: no maximum found in {found.iterations} steps, though it exists: "
            "the regressors differ too much in scale or are nearly collinear"
        )
    else:
        estimated = covariance(
            z,
            found.params,
            found.information,
            asked,
            ssc,
            firth=firth,
            executor=options.executor,
        )
        params = back @ found.params
        notes = estimated.notes + (_separated_note(core, asked, source) if firth else ())
        estimated = replace(estimated, notes=notes).turned(back)
    separated = bool(np.isinf(estimated.cov).any())
    found = replace(
        found,
        params=params,
        llf=found.llf if direction is None else supremum(core, direction),
        converged=found.converged and not separated,
    )
    fit = assembled(data, terms, source, options, found, estimated)
    return replace(fit, separated=separated, firth=firth)


def estimate_spread(
    z: Spread, back: Array, terms: Sequence[str], source: Source, options: Options
) -> Fit:
    """`estimate`, of rows in shards; where there is no maximum it is said, never a limit.

    Parameters
    ----------
    z, back
        Data in standardised regressors, and the way back.
    terms, source, options
        See `estimate`.

    Raises
    ------
    DesignError
        For separated data, and covariances that do not exist.
    """
    firth, asked, ssc = options.separation == "firth", options.asked(), options.ssc
    if z.weights_vary and (firth or asked.kind == "iid"):
        raise UsageError(_WEIGHTED)
    whole = cast(Concave, z)  # it answers all that is asked on the way to a maximum
    found = newton(whole, firth=firth, start=None if firth else near(z))
    direction = None if firth else divergence(whole, found)
    if direction is not None:
        _tell(in_units(back, direction), terms, source, "raise")
    if not found.converged:
        raise DesignError(
            f"{source.outcome}: no maximum found in {found.iterations} steps, though it exists: "
            "the regressors differ too much in scale or are nearly collinear"
        )
    estimated = covariance(z, found.params, found.information, asked, ssc, firth=firth).turned(back)
    found = replace(found, params=back @ found.params)
    fit = assembled(z, terms, source, options, found, estimated)
    if np.isnan(fit.llnull) and "const" in terms:  # beside an offset
        alone = np.linalg.inv(back)[:, [list(terms).index("const")]]
        constant = cast(Concave, replace(z, basis=z.basis @ alone, _known={}))
        fit = replace(fit, llnull=newton(constant, gain=1e-12).llf)
    return replace(fit, firth=firth)


def near(z: Spread) -> Array | None:
    """Estimates from a few thousand rows: from there few passes are left.

    Parameters
    ----------
    z : Spread
        In standardised regressors.

    Returns
    -------
    (K,) array or None
        None for few rows, and where those have no maximum.
    """
    if z.nobs <= 10 * z.size:
        return None
    found = newton(replace(z.survey.some.projected(z.basis), groups={}), gain=0.1)
    return found.params if found.converged else None


def assembled(
    data: Likelihood,
    terms: Sequence[str],
    source: Source,
    options: Options,
    found: NewtonFit,
    estimated: Estimated,
) -> Fit:
    """A fit from where its maximum is, in the caller's units, and the covariance there.

    Warns
    -----
    VarianceWarning
        If the outcomes do not vary about the fit in any direction.
    """
    quiet = noted(estimated.quiet, terms, source.outcome)
    if any(part.everywhere and part.why == DATA for part in estimated.quiet):
        warn(quiet[0], VarianceWarning)
    import pandas as pd

    index = list(terms)
    return Fit(
        params=pd.Series(found.params, index=index),
        cov=pd.DataFrame(estimated.cov, index=index, columns=index),
        kind=source.kind,
        outcome=source.outcome,
        llf=found.llf,
        llnull=_llnull(data),
        nobs=data.nobs,
        dropped=source.dropped,
        vcov=estimated.name,
        ssc=estimated.factor,
        clusters=estimated.clusters,
        df=estimated.df,
        weighting=source.weighting,
        notes=(*source.notes, *estimated.notes, *quiet),
        converged=found.converged,
        separated=False,
        firth=False,
        iterations=found.iterations,
        data=data,
        design=source.design,
        frame=source.frame,
        asked=options.asked(),
        asked_ssc=options.ssc,
        quiet=estimated.quiet,
    )


def _start(data: Cells | Cases, *, rough: bool) -> Array | None:
    """Coefficients that undo an offset as far as they can: at zero it may leave no information.

    Without one, if `rough`, those of some of many rows.
    """
    if data.offset is None:
        return rough_start(data) if rough else None
    return np.asarray(np.linalg.lstsq(data.x, -data.offset, rcond=None)[0], np.float64)


def _llnull(data: Likelihood) -> float:
    """Log-likelihood with constants alone; its supremum, where it has no maximum."""
    closed = data.llnull()
    if closed is not None:
        return closed
    if isinstance(data, Spread):
        return newton(cast(Concave, data.constants()), gain=1e-12).llf
    constants = situations(data).constants()
    return newton(constants, start=_start(constants, rough=False), gain=1e-12).llf


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
    warn(message, SeparationWarning)


def _separated_note(core: Concave, asked: Covariance, source: Source) -> tuple[str, ...]:
    """What to know of Firth's estimate where the plain one does not exist."""
    if divergence(core, newton(core)) is None:
        return ()
    note = (
        "the data are separated: the likelihood is far from a parabola; read "
        "conf_int(kind='profile') in place of estimate and SE"
    )
    if asked.kind != "iid" and not core.fractional:
        warn(
            f"{source.outcome}: the data are separated, so every residual is small and "
            f"{asked.kind} standard errors look far too precise; use vcov='iid' and "
            "conf_int(kind='profile')",
            VarianceWarning,
        )
    return (note,)
