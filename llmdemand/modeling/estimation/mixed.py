"""Mixed logit: from a formula, a long table and a law of tastes to a fit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from llmdemand.errors import DesignError
from llmdemand.modeling.arrays import Array
from llmdemand.modeling.estimation.choices import Choices, choices
from llmdemand.modeling.estimation.fit import Fit
from llmdemand.modeling.estimation.options import Options
from llmdemand.modeling.estimation.smooth import (
    check_options,
    estimate_smooth,
    highest,
    plain_start,
)
from llmdemand.modeling.optimum.ascent import ascend
from llmdemand.modeling.optimum.newton import NewtonFit
from llmdemand.modeling.sample.columns import Data
from llmdemand.modeling.sample.language import read
from llmdemand.modeling.substitution.draws import Sequence as DrawSequence
from llmdemand.modeling.substitution.draws import given_draws, uniform_draws
from llmdemand.modeling.substitution.laws import Law, Space, law_of
from llmdemand.modeling.substitution.mixed import MixedKernel, MixedPanels
from llmdemand.modeling.substitution.panels import Panels
from llmdemand.modeling.substitution.sequences import observed_sequences, sequences_of_beliefs
from llmdemand.modeling.variance.vcov import Covariance

__all__ = ["Mixing", "fit_mixed"]

_ROUGH = 64  # draws by which starts are compared
_FIRST, _MOST = 256, 16384  # draws that a search for enough begins and ends with
_STEADY = 0.1  # of a standard error: what estimates may move by when draws are doubled
_POPULATION = 512  # people of the population that quantities are averaged over


@dataclass(frozen=True)
class Mixing:
    """How tastes vary, and how that is simulated.

    Attributes
    ----------
    random : mapping of str to str
        Laws by term or variable: see `llmdemand.modeling.substitution.laws.LawName`.
    correlated, space, price
        See `laws.law_of`.
    draws : int, array or None
        Draws of each respondent; (I, draws, Q) points of the uniform law of one's own; None for
        as many as make estimates steady: doubled until none moves by a tenth of its SE.
    sequence : str
        ``sobol``, ``halton`` or ``mlhs``.
    sequences : int
        Panels of choices that are drawn from each respondent's beliefs.
    starts : int
        Starts that are compared, with few draws.
    seed : int
        Of draws, of panels from beliefs and of starts.
    """

    random: Mapping[str, str]
    correlated: bool | Sequence[str] = False
    space: Space = "preference"
    price: str = "price"
    draws: int | Array | None = 500
    sequence: DrawSequence = "sobol"
    sequences: int = 20
    starts: int = 3
    seed: int = 1


def fit_mixed(
    formula: str,
    data: Data,
    mixing: Mixing,
    options: Options,
    *,
    panel: str | None = None,
    case: str = "case",
    **columns: Any,
) -> Fit:
    """A mixed logit: see `llmdemand.modeling.models.mixed.mixlogit`."""
    check_options(options, "Mixed logit")
    whose = case if panel is None else panel
    options = by_respondent(options, whose)
    found = choices(formula, data, options, case=case, panel=whose, **columns)
    terms = found.design.terms
    law = law_of(
        terms,
        mixing.random,
        _variables(found),
        correlated=mixing.correlated,
        space=mixing.space,
        price=mixing.price,
    )
    problem = _problem(found, law, mixing)
    size, uniform = _ROUGH, None
    if isinstance(mixing.draws, np.ndarray):
        uniform = given_draws(mixing.draws, problem.panels.people, len(law.random))
    notes = []
    rough = highest(
        _drawn(problem, mixing, size),
        _starts(law, plain_start(found), found, mixing),
        found.outcome,
    )
    notes.append(rough.note and f"{rough.note} (with {size} draws)")
    if uniform is not None:
        whole = replace(problem, standard=law.standard(uniform))
        best, said = _positive(whole, rough.best, found.outcome), f"{uniform.shape[1]} draws given"
    elif mixing.draws is None:
        whole, best, said = _steady(problem, mixing, rough.best, found.outcome)
    else:
        whole = _drawn(problem, mixing, int(mixing.draws))
        best = _positive(whole, rough.best, found.outcome)
        said = _moved(problem, mixing, int(mixing.draws), best)
    notes.insert(0, said)
    notes += _at_edges(whole, best)
    kernel = MixedKernel(law, _population(law, mixing.seed))
    return estimate_smooth(whole, law.names, "Mixed logit", kernel, found, best, options, notes)


def by_respondent(options: Options, whose: str) -> Options:
    """The options with a covariance over respondents, whose answers go together.

    Robust covariances sum squares of the scores of respondents: HC0 and HC1 are clustered by
    respondent.
    """
    asked = options.asked()
    if asked.kind in ("HC0", "HC1"):
        return replace(options, vcov=Covariance("CRV1", (whose,)))
    return options


def _variables(found: Choices) -> dict[str, list[str]]:
    """Terms that each variable of the formula is in, alone."""
    parts = (found.design.generic, found.design.case, found.design.own)
    known: dict[str, list[str]] = {}
    for variable in found.design.variables:
        known[variable] = [
            t
            for t in found.design.terms
            if any(variable in read(p.text).names for p in parts if p.spec is not None)
            and variable in t
        ]
    return known


def _problem(found: Choices, law: Law, mixing: Mixing) -> MixedPanels:
    """The data, without draws as yet."""
    assert found.respondent is not None
    panels = Panels(found.cases, found.respondent)
    _check_people(panels, law)
    chosen = (
        sequences_of_beliefs(panels, mixing.sequences, mixing.seed)
        if found.cases.fractional
        else observed_sequences(panels)
    )
    heads = panels.heads
    cases = found.cases
    return MixedPanels(
        cases,
        panels,
        law,
        chosen,
        np.empty((panels.people, 0, len(law.random))),
        cases.count[heads],
        cases.weight[heads],
        {name: codes[heads] for name, codes in cases.groups.items()},
    )


def _check_people(panels: Panels, law: Law) -> None:
    if panels.people <= law.size:
        raise DesignError(
            f"{panels.people} respondents for {law.size} parameters of means and spreads: the "
            "spread of tastes is a difference between respondents; ask more of them, or let "
            "fewer coefficients vary"
        )


def _drawn(problem: MixedPanels, mixing: Mixing, size: int) -> MixedPanels:
    u = uniform_draws(
        problem.panels.people, size, len(problem.law.random), mixing.sequence, mixing.seed
    )
    return replace(problem, standard=problem.law.standard(u))


def _population(law: Law, seed: int) -> Array:
    u = uniform_draws(1, _POPULATION, len(law.random), "sobol", seed)
    return law.features(law.standard(u)[0])


def _starts(law: Law, plain: Array, found: Choices, mixing: Mixing) -> list[Array]:
    """The plain logit's coefficients with small spreads; with larger ones; and jittered."""
    size = np.abs(plain)
    reach = np.abs(found.cases.x).max(axis=0)
    unit = np.maximum(size, 0.1 / np.where(reach > 0, reach, 1.0))
    rng = np.random.default_rng(mixing.seed)
    starts = []
    for k, share in enumerate([0.3, 1.0, *([0.6] * mixing.starts)][: max(1, mixing.starts)]):
        theta = np.zeros(law.size)
        jitter = rng.normal(size=law.size) * (0.3 if k > 1 else 0.0)
        for p, (place, spread) in enumerate(zip(law.place, law.spreads, strict=True)):
            kind = law.laws[place]
            if spread:
                theta[p] = share * (1.0 if kind.startswith("log") else unit[place])
            elif law.loads[p, 0]:
                theta[p] = _location(kind, plain[place], unit[place])
                if law.money is not None and place != law.money:
                    theta[p] /= max(abs(plain[law.money]), 1e-3 * unit[law.money])
        if law.money is not None:
            away = [p for p, q in enumerate(law.place) if q != law.money and law.spreads[p]]
            theta[away] /= max(abs(plain[law.money]), 1e-3 * unit[law.money])
        starts.append(theta * (1 + jitter))
    return starts


def _location(kind: str, b: float, unit: float) -> float:
    if kind == "lognormal+":
        return float(np.log(max(b, 0.1 * unit)))
    if kind == "lognormal-":
        return float(np.log(max(-b, 0.1 * unit)))
    return float(b)


def _positive(data: MixedPanels, start: NewtonFit, outcome: str) -> NewtonFit:
    """The maximum from a start, with spreads that are not negative."""
    params = start.params
    for _ in range(4):
        found = ascend(data, np.where(data.law.spreads, np.abs(params), params))
        if not found.converged:
            raise DesignError(
                f"{outcome}: no maximum found with {data.standard.shape[1]} draws (log-likelihood "
                f"{found.llf:.6g} after {found.iterations} steps): the data do not tell all means "
                "and spreads apart; let fewer coefficients vary"
            )
        params = found.params
        if (params[data.law.spreads] >= 0).all():
            break
    return found


def _steady(
    problem: MixedPanels, mixing: Mixing, best: NewtonFit, outcome: str
) -> tuple[MixedPanels, NewtonFit, str]:
    """Draws doubled until estimates move by less than a tenth of a standard error."""
    size, last = _FIRST, best
    while True:
        whole = _drawn(problem, mixing, size)
        found = _positive(whole, last, outcome)
        moved = _distance(found.params - last.params, found.information)
        if size > _FIRST and moved < _STEADY:
            return (
                whole,
                found,
                (
                    f"{size} draws: from {size // 2} to {size} no estimate moved by more than "
                    f"{moved:.2g} of its standard error"
                ),
            )
        if size >= _MOST:
            return (
                whole,
                found,
                (
                    f"{size} draws are not enough: from {size // 2} an estimate still moved by "
                    f"{moved:.2g} of its standard error"
                ),
            )
        size, last = 2 * size, found


def _moved(problem: MixedPanels, mixing: Mixing, size: int, best: NewtonFit) -> str:
    """What twice the draws would change, by one step of Newton's method."""
    twice = _drawn(problem, mixing, 2 * size)
    _, score, information = twice.evaluated(best.params)
    try:
        step = np.asarray(np.linalg.solve(information, score), np.float64)
        moved = _distance(step, information)
    except np.linalg.LinAlgError:
        moved = np.inf
    enough = "" if moved < _STEADY else ": more are needed, draws=None finds how many"
    return (
        f"{size} draws; with {2 * size} estimates would move by up to {moved:.2g} of a standard "
        f"error{enough}"
    )


def _distance(step: Array, information: Array) -> float:
    """The largest change in classical standard errors."""
    return float((np.abs(step) / np.sqrt(np.diag(np.linalg.inv(information)))).max())


def _at_edges(data: MixedPanels, best: NewtonFit) -> list[str]:
    """Spreads that are zero but for the simulation."""
    se = np.sqrt(np.maximum(np.diag(np.linalg.inv(best.information)), 0))
    small = data.law.spreads & (np.abs(best.params) < 0.5 * se)
    names = [n for n, yes in zip(data.law.names, small, strict=True) if yes]
    if not names:
        return []
    return [
        f"{', '.join(names)}: at the edge, no spread is seen in these data; its standard error and "
        "t value mean little there"
    ]
