"""One fit of a nested or mixed logit: starts, the best maximum, covariance, results."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

from llmdemand.errors import DesignError, UsageError
from llmdemand.modeling.arrays import Array, sums
from llmdemand.modeling.estimation.choices import Choices, Described
from llmdemand.modeling.estimation.estimate import Source, assembled
from llmdemand.modeling.estimation.fit import Fit, Kind
from llmdemand.modeling.estimation.options import Options
from llmdemand.modeling.likelihood.kernels import Kernel
from llmdemand.modeling.likelihood.protocol import Concave
from llmdemand.modeling.optimum.ascent import ascend
from llmdemand.modeling.optimum.newton import NewtonFit, newton
from llmdemand.modeling.optimum.separation import divergence
from llmdemand.modeling.substitution.smooth import Smooth
from llmdemand.modeling.variance.covariance import covariance

__all__ = [
    "FEW",
    "Maxima",
    "by_respondent",
    "check_options",
    "clustered_by",
    "estimate_smooth",
    "highest",
    "plain_start",
    "start_at",
]

#: Respondents below which that is said.
FEW = 30
_SAME = 1e-6  # of a log-likelihood: two maxima are one
_Data = TypeVar("_Data", bound=Smooth)


@dataclass(frozen=True)
class Maxima:
    """What several starts came to.

    Attributes
    ----------
    best : NewtonFit
        The highest maximum.
    llf : (S,) array
        Log-likelihood where each start ended; NaN where it ended at no maximum.
    reached : float
        The highest log-likelihood on the way, maximum or not.
    """

    best: NewtonFit
    llf: Array
    reached: float

    @property
    def note(self) -> str:
        """How far they agree, in a sentence."""
        found = self.llf[np.isfinite(self.llf)]
        top = found.max()
        same = int((found >= top - _SAME * (1 + abs(top))).sum())
        if same == len(self.llf):
            return f"{len(self.llf)} starts end at one maximum" if same > 1 else ""
        lost = len(self.llf) - len(found)
        rest = f", {lost} at no maximum" if lost else ""
        if self.reached > top + _SAME * (1 + abs(top)):
            rest += f" (one of them higher, at {self.reached:.8g}: these are no last estimates)"
        if same < len(found):
            rest += f"; the lowest of the others is {found.min():.8g}"
        return (
            f"of {len(self.llf)} starts {same} end at the highest maximum found ({top:.8g}){rest}"
        )


def plain_start(found: Choices) -> Array:
    """Coefficients of the plain logit of the same data.

    Raises
    ------
    DesignError
        If they do not exist: then those of richer models do not either.
    """
    z, back = found.cases.standardised(found.scaled)
    cases = found.cases
    chosen = sums(cases.labels, cases.y, len(found.design.alternatives))
    return start_at(newton(z), z, back, found, chosen)


def start_at(fit: NewtonFit, z: Concave, back: Array, found: Described, chosen: Array) -> Array:
    """The coefficients of a plain logit, if it has a maximum.

    Parameters
    ----------
    fit, z, back
        It, its data in standardised regressors, and the way back.
    found : Described
        Where they come from.
    chosen : (J,) array
        Outcomes of each alternative in all.
    """
    direction = divergence(z, fit)
    if direction is not None or not fit.converged:
        terms = ", ".join(
            t
            for t, d in zip(
                found.design.terms,
                back @ (direction if direction is not None else 0 * fit.params),
                strict=True,
            )
            if d
        )
        never = [n for n, y in zip(found.design.alternatives, chosen, strict=True) if y == 0]
        verb = "is" if len(never) == 1 else "are"
        why = f"; {', '.join(map(repr, never))} {verb} never chosen" if never else ""
        raise DesignError(
            f"{found.outcome}: the data are separated ({terms or 'no maximum was found'}{why}), so "
            "that no logit with more than one error has a maximum either: collect more runs, or "
            "fit clogit with separation='firth'"
        )
    return np.asarray(back @ fit.params)


def highest(
    data: _Data,
    starts: Sequence[Array],
    outcome: str,
    *,
    climb: Callable[[_Data, Array], NewtonFit] = ascend,
    edge: Callable[[Array], str | None] = lambda params: None,
) -> Maxima:
    """The highest of the maxima that these starts lead to.

    Parameters
    ----------
    data, starts, outcome
        What is maximised, from where, and what it is called.
    climb : function
        From the data and a start to a maximum.
    edge : function of (K,) array
        Why there is no maximum near these parameters, where that is known.

    Raises
    ------
    DesignError
        If none of them leads to a maximum, or one leads higher, to an edge.
    """
    found = [climb(data, start) for start in starts]
    llf = np.array([one.llf if one.converged else np.nan for one in found])
    top = max(found, key=lambda one: one.llf)
    reached = np.nanmax(llf, initial=-np.inf) >= top.llf - _SAME * (1 + abs(top.llf))
    if not reached and (why := edge(top.params)):
        raise DesignError(f"{outcome}: {why}")
    if np.isnan(llf).all():
        raise DesignError(
            f"{outcome}: no maximum found from {len(starts)} starts (the highest log-likelihood "
            f"reached is {top.llf:.6g}): the data do not tell all coefficients apart; leave some "
            "out or hold them fixed"
        )
    return Maxima(found[int(np.nanargmax(llf))], llf, top.llf)


def estimate_smooth(
    data: Smooth,
    terms: Sequence[str],
    kind: Kind,
    kernel: Kernel,
    found: Described,
    best: NewtonFit,
    options: Options,
    notes: Sequence[str] = (),
) -> Fit:
    """The fit at a maximum.

    Parameters
    ----------
    data : Smooth
        In the caller's units.
    terms : sequence of str
        Names of the K coefficients: those of the design, then the model's own.
    kind, kernel
        What the model is called, and its shares.
    found : Described
        Where the data come from.
    best : NewtonFit
        The maximum.
    options : Options
        Covariance and weights; `options.vcov` must suit the rows of `data`.
    notes : sequence of str
        What the reader should know.

    Raises
    ------
    UsageError
        For Firth's penalty; for leverage-adjusted covariances; for iid with sampling weights and
        of pairs.
    DesignError
        For covariances that do not exist.
    """
    asked = options.asked()
    check_options(options, kind)
    if asked.kind == "iid" and data.paired:
        raise UsageError(
            "pairs of one respondent's situations are no independent observations, so that iid "
            "standard errors of a pairwise likelihood have no meaning: leave vcov out (clustered "
            "by respondent), or use {'pairs': column}"
        )
    estimated = covariance(
        data, best.params, best.information, asked, options.ssc, executor=options.executor
    )
    source = Source(
        found.design,
        found.frame,
        found.outcome,
        kind,
        found.dropped,
        options.weighting,
        (*found.notes, *(n for n in notes if n)),
    )
    fit = assembled(data, terms, source, options, best, estimated)
    return replace(fit, kernel=kernel)


def check_options(options: Options, kind: str) -> None:
    """Refuse what only plain logits have.

    Raises
    ------
    UsageError
        See `estimate_smooth`.
    """
    asked = options.asked()
    if options.separation == "firth":
        raise UsageError(
            f"Firth's penalty is for plain logits: a {kind.lower()} has none; use clogit with "
            "separation='firth', or collect more runs"
        )
    if asked.kind in ("HC2", "HC3", "within", "score"):
        raise UsageError(
            f"vcov={asked.kind!r} is for plain logits: of a {kind.lower()} use 'HC1', "
            "{'CRV1': column}, {'CRV3': column} or {'pairs': column}"
        )
    if options.weights_type == "sampling" and options.weights and asked.kind == "iid":
        raise UsageError(
            "sampling weights say nothing of how much information there is: iid standard errors "
            "have no meaning; use vcov='HC1' or clusters"
        )


def by_respondent(options: Options, whose: str) -> Options:
    """The options with a covariance over respondents, who are the rows of the data.

    What sums squares of scores by respondent is HC0 or HC1 there, with frequency weights as
    numbers of respondents: `clustered_by` gives the result its usual name. So it is with the
    bootstrap that draws respondents.
    """
    asked = options.asked()
    if asked.columns == (whose,) and asked.kind in ("CRV1", "pairs"):
        kind = "HC1" if asked.kind == "CRV1" else asked.kind
        return replace(options, vcov=replace(asked, kind=kind, columns=()))
    return options


def clustered_by(fit: Fit, whose: str) -> Fit:
    """A fit whose rows are respondents, with its covariance named as one by respondent."""
    kind = fit.asked.kind
    if fit.asked.columns or kind not in ("HC0", "HC1", "pairs"):
        return fit
    people = round(float(fit.data.observations.sum()))
    few = () if people >= FEW else (f"fewer than {FEW} respondents ({people})",)
    return replace(
        fit,
        vcov=fit.vcov.replace("observations", f"clusters: {whose}")
        if kind == "pairs"
        else f"CRV1 (clusters: {whose})",
        ssc={"n/(n-1)": "G/(G-1)", "n/(n-k)": "G/(G-k)"}.get(fit.ssc, fit.ssc),
        clusters=people,
        df=people - 1,
        notes=(*fit.notes, *few),
    )
