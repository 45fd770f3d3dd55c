"""Latent class logit: from a formula, a long table and a number of classes to a fit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from llmdemand.errors import DesignError, UsageError, warn
from llmdemand.modeling.arrays import Array
from llmdemand.modeling.estimation.choices import Choices, choices
from llmdemand.modeling.estimation.estimate import SeparationWarning
from llmdemand.modeling.estimation.fit import Fit
from llmdemand.modeling.estimation.options import Options
from llmdemand.modeling.estimation.regressors import check_regressors
from llmdemand.modeling.estimation.smooth import (
    Maxima,
    by_respondent,
    check_options,
    clustered_by,
    estimate_smooth,
    plain_start,
)
from llmdemand.modeling.likelihood.separating import in_units
from llmdemand.modeling.optimum.ascent import ascend
from llmdemand.modeling.optimum.em import expectation_maximisation, flat, moved, running, split
from llmdemand.modeling.optimum.newton import NewtonFit
from llmdemand.modeling.sample.columns import Data
from llmdemand.modeling.sample.language import read
from llmdemand.modeling.substitution.latent import (
    ClassPanels,
    LatentKernel,
    LatentPanels,
    divided,
    reordered,
)
from llmdemand.modeling.substitution.pairwise import (
    Answers,
    PairwiseClasses,
    by_pairs,
    check_pairs,
    counted,
    said_of,
)
from llmdemand.modeling.substitution.panels import Panels
from llmdemand.modeling.substitution.sequences import observed_sequences, sequences_of_beliefs

__all__ = [
    "Classes",
    "Found",
    "best_of",
    "fit_latent",
    "latent_panels",
    "searched",
    "term_names",
    "turned",
]

_STEPS = 50  # of Newton's method, after which a start that is not the highest is given up
_FEW = 10  # respondents in a class, below which it is said


@dataclass(frozen=True)
class Classes:
    """Which classes there are, and how they are looked for.

    Attributes
    ----------
    classes : int
        C.
    membership : str
        Formula of the regressors of belonging.
    sequences : int
        Panels of choices that are drawn from each respondent's beliefs.
    starts : int
        Random starts.
    seed : int
        Of the starts and of panels from beliefs.
    likelihood : str or None
        ``sequence`` or ``pairwise``; None for pairwise where outcomes are corrected beliefs.
    """

    classes: int = 2
    membership: str = "1"
    sequences: int = 20
    starts: int = 10
    seed: int = 1
    likelihood: Answers | None = None

    def __post_init__(self) -> None:
        for name, least in (("classes", 2), ("sequences", 1), ("starts", 1)):
            value = getattr(self, name)
            whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
            if not whole or value < least:
                more = " (for one class use clogit)" if name == "classes" and value == 1 else ""
                raise UsageError(f"{name}={value!r}: give a whole number from {least} on{more}")


@dataclass(frozen=True)
class Found:
    """The highest maximum, its classes from the largest to the smallest.

    Attributes
    ----------
    best : NewtonFit
        The maximum, in the caller's units.
    maxima : Maxima
        What the starts came to.
    higher : str
        What ran to infinity, where a start did so at a higher likelihood; empty if none did.
    near : ClassPanels
        The data in regressors of comparable scale.
    back : (K, K) array
        See `Cases.standardised`.
    """

    best: NewtonFit
    maxima: Maxima
    higher: str
    near: ClassPanels
    back: Array


def fit_latent(
    formula: str,
    data: Data,
    asked: Classes,
    options: Options,
    *,
    panel: str | None = None,
    case: str = "case",
    **columns: Any,
) -> tuple[Fit, tuple[Any, ...]]:
    """A latent class logit, and the ids of its respondents.

    See `llmdemand.modeling.models.latent.lclogit`.
    """
    check_options(options, "Latent class logit")
    whose = case if panel is None else panel
    options = by_respondent(options, whose)
    found, problem = latent_panels(formula, data, asked, options, panel=whose, case=case, **columns)
    terms = found.design.terms
    result = searched(problem, found, asked)
    if result.higher:
        message = f"{found.outcome}: {result.higher}"
        if options.separation == "raise":
            raise DesignError(message)
        warn(message, SeparationWarning)
    notes = [
        *said_of(found.cases, isinstance(problem, PairwiseClasses)),
        result.maxima.note,
        result.higher,
        *_small(problem, result.best.params),
    ]
    kernel = LatentKernel(asked.classes, len(terms))
    assert found.design.membership is not None
    names = term_names(terms, found.design.membership.terms, asked.classes)
    fit = estimate_smooth(
        problem, names, "Latent class logit", kernel, found, result.best, options, notes
    )
    heads = found.cases.start[problem.panels.heads]
    return clustered_by(fit, whose), tuple(found.frame[whose].iloc[heads])


def term_names(terms: Sequence[str], members: Sequence[str], classes: int) -> tuple[str, ...]:
    """``price[1]``, ..., ``share[2]:const``: the parameters in order.

    >>> term_names(["price"], ["const"], 2)
    ('price[1]', 'price[2]', 'share[2]:const')
    """
    own = (f"{t}[{c + 1}]" for c in range(classes) for t in terms)
    return (*own, *(f"share[{c + 1}]:{t}" for c in range(1, classes) for t in members))


def latent_panels(
    formula: str,
    data: Data,
    asked: Classes,
    options: Options,
    *,
    panel: str,
    case: str,
    **columns: Any,
) -> tuple[Choices, ClassPanels]:
    """The choices that a formula names, and the data of a latent class logit of them."""
    if read(asked.membership).offsets:
        raise UsageError(
            f"membership={asked.membership!r} has an offset, which belonging to a class does not "
            "take: leave it out"
        )
    found = choices(
        formula, data, options, case=case, panel=panel, membership=asked.membership, **columns
    )
    pairwise = by_pairs(found.cases, asked.likelihood)
    assert found.respondent is not None and found.design.membership is not None
    if "const" not in found.design.membership.terms:
        raise UsageError(
            f"membership={asked.membership!r} leaves out the constant, so that shares would be "
            "equal where covariates are zero: leave it in"
        )
    panels = Panels(found.cases, found.respondent)
    heads = panels.heads
    members = found.design.membership.matrix(found.frame.iloc[found.cases.start[heads]])
    notes = check_regressors(members, found.design.membership.terms, panels.people)
    shared: tuple[Any, ...] = (
        found.cases,
        panels,
        asked.classes,
        members,
        counted(panels, pairwise),
        found.cases.weight[heads],
        {name: codes[heads] for name, codes in found.cases.groups.items()},
    )
    if pairwise:
        paired = PairwiseClasses(*shared)
        said = (*found.notes, *notes, *check_pairs(panels.people, panels.once, paired.size))
        return replace(found, notes=said), paired
    chosen = (
        sequences_of_beliefs(panels, asked.sequences, asked.seed)
        if found.cases.fractional
        else observed_sequences(panels)
    )
    problem = LatentPanels(*shared, chosen=chosen)
    return replace(found, notes=(*found.notes, *notes)), problem


def searched(problem: ClassPanels, found: Choices, asked: Classes) -> Found:
    """The highest maximum that random starts lead to.

    Raises
    ------
    DesignError
        With no more respondents than parameters; where no start leads to a maximum.
    """
    people = float(problem.count.sum())
    if people <= problem.size:
        raise DesignError(
            f"{people:g} respondents for the {problem.size} parameters of {problem.classes} "
            "classes, which are differences between respondents: ask more of them, or for fewer "
            "classes"
        )
    plain = plain_start(found)
    z, back = found.cases.standardised(found.scaled)
    near = moved(problem, z)
    plain = np.asarray(np.linalg.solve(back, plain), np.float64)
    ends = best_of(near, split(near, asked.starts, asked.seed, plain))
    llf = np.array([end.llf if gone is None and end.converged else np.nan for end, gone in ends])
    lost = [(end.llf, *gone) for end, gone in ends if gone is not None]
    highest = max(lost, key=lambda one: one[0], default=None)
    why = "the likelihood is flat: some classes cannot be told apart"
    if highest is not None:
        assert found.design.membership is not None
        members = found.design.membership.terms
        why = _runs(*highest[1:], back, found.design.terms, members, problem)
    if np.isnan(llf).all():
        raise DesignError(
            f"{found.outcome}: no maximum with {problem.classes} classes found from {asked.starts} "
            f"starts: {why}; ask for fewer classes, or collect more choices of each respondent"
        )
    best = turned(ends[int(np.nanargmax(llf))][0].params, problem, back)
    best = reordered(best, problem.classes, problem.terms, _order(problem, best))
    end, higher = ascend(problem, best), ""
    if highest is not None and highest[0] > np.nanmax(llf):
        count = sum(one[0] > np.nanmax(llf) for one in lost)
        higher = (
            f"of {asked.starts} starts {count} ran to infinity at a higher log-likelihood (up to "
            f"{highest[0]:.8g}): {why}; what is reported is the highest maximum that exists, "
            "fewer classes or more choices of each respondent would be better"
        )
    reached = max(one.llf for one, gone in ends if gone is None)
    return Found(end, Maxima(end, llf, reached), higher, near, back)


def turned(params: Array, problem: ClassPanels, back: Array) -> Array:
    """Parameters in the caller's units, from those in regressors of comparable scale."""
    beta, gamma = divided(params, problem.classes, problem.terms)
    return np.concatenate([(beta @ back.T).ravel(), gamma.ravel()])


def best_of(
    near: ClassPanels, starts: Sequence[Array]
) -> list[tuple[NewtonFit, tuple[int, Array] | None]]:
    """Where starts end, in regressors of comparable scale, and what runs to infinity there."""
    found: list[tuple[NewtonFit, tuple[int, Array] | None]] = []
    for start in starts:
        best = max((end.llf for end, _ in found if end.converged), default=-np.inf)
        found.append(_end(near, start, best))
    return found


def _end(
    near: ClassPanels, start: Array, best: float
) -> tuple[NewtonFit, tuple[int, Array] | None]:
    """Where a start ends, and what runs to infinity there."""
    if not isinstance(near, LatentPanels):
        # Negative outcomes would give negative probabilities of classes: no expectation of them.
        end = _climbed(near, start, best)
        gone = flat(near, end)
        return replace(end, converged=end.converged and gone is None), gone
    rough = expectation_maximisation(near, start)
    gone = running(near, rough.params)
    if gone is None:
        end = _climbed(near, rough.params, best)
        gone = running(near, end.params)
        return replace(end, converged=end.converged and gone is None), gone
    # Newton's method has nowhere to go; the supremum is had near enough.
    rough = expectation_maximisation(near, rough.params, steps=500, gain=1e-4)
    llf, _, information = near.evaluated(rough.params)
    end = NewtonFit(rough.params, information, llf, llf, len(rough.path), False)
    return end, running(near, rough.params) or gone


def _climbed(near: ClassPanels, start: Array, best: float) -> NewtonFit:
    end = ascend(near, start, most=_STEPS)
    return ascend(near, end.params) if not end.converged and end.llf > best else end


def _order(problem: ClassPanels, params: Array) -> Any:
    """Classes from the largest share to the smallest; of equal shares by their coefficients."""
    beta, _ = divided(params, problem.classes, problem.terms)
    return np.lexsort([*beta.T[::-1], -problem.mean_shares(params)])


def _runs(
    place: int,
    direction: Array,
    back: Array,
    terms: Sequence[str],
    members: Sequence[str],
    problem: ClassPanels,
) -> str:
    """What runs to infinity, in words."""
    classes, paired = problem.classes, isinstance(problem, PairwiseClasses)
    if place < classes:
        if not len(direction):
            return "a class that nobody belongs to (its share runs to zero)"
        names, moves = [f"{t} of a class" for t in terms], in_units(back, direction)
        what = "the choices of those who belong to one class are separated"
        if paired and problem.corrected:
            what = "coefficients of a class run away, as noise in corrected beliefs may let them"
    else:
        names = list(term_names([], members, classes))
        moves, what = direction, "who belongs where is separated"
    going = ", ".join(
        f"{n} to {'+' if d > 0 else '-'}inf" for n, d in zip(names, moves, strict=True) if d
    )
    return f"{what} ({going})"


def _small(problem: ClassPanels, params: Array) -> list[str]:
    """Classes of few respondents."""
    if isinstance(problem, LatentPanels):
        belong = problem.posterior(params)
    else:
        belong = problem.shares_of_classes(params)
    size = problem.count @ belong
    few = [f"class {c + 1} ({n:.1f})" for c, n in enumerate(size) if n < _FEW]
    if not few:
        return []
    listed = ", ".join(few)
    return [f"fewer than {_FEW} respondents belong to {listed}: they alone tell of its tastes"]
