"""Mixed logit: from a formula, a long table and a law of tastes to a fit."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol, Self

import numpy as np

from llmdemand.errors import DesignError, UsageError, choose
from llmdemand.modeling.arrays import Array, Codes, peaks
from llmdemand.modeling.estimation.choices import Described, choices
from llmdemand.modeling.estimation.fit import Fit
from llmdemand.modeling.estimation.options import Options
from llmdemand.modeling.estimation.smooth import (
    FEW,
    Maxima,
    by_respondent,
    check_options,
    clustered_by,
    estimate_smooth,
    highest,
    plain_start,
)
from llmdemand.modeling.likelihood.protocol import Likelihood
from llmdemand.modeling.optimum.ascent import ascend
from llmdemand.modeling.optimum.newton import NewtonFit
from llmdemand.modeling.sample.columns import Data
from llmdemand.modeling.substitution.draws import Drawn, given_draws, most_draws, uniform_draws
from llmdemand.modeling.substitution.draws import Sequence as DrawSequence
from llmdemand.modeling.substitution.laws import Law, Space, law_of
from llmdemand.modeling.substitution.mixed import MixedKernel, MixedPanels
from llmdemand.modeling.substitution.pairwise import (
    Answers,
    PairwisePanels,
    by_pairs,
    check_pairs,
    counted,
    said_of,
)
from llmdemand.modeling.substitution.panels import Panels, Seen
from llmdemand.modeling.substitution.respondents import Respondents
from llmdemand.modeling.substitution.sequences import observed_sequences, sequences_of_beliefs
from llmdemand.modeling.substitution.smooth import Smooth
from llmdemand.modeling.substitution.starts import starts_of

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Mixed", "Mixing", "Panelled", "Simulated", "fit_law", "fit_mixed", "problem_of"]

_ROUGH = 64  # draws by which starts are compared
_FIRST, _MOST = 256, 16384  # draws that a search for enough begins and ends with
_STEADY = 0.1  # of a standard error: what estimates may move by when draws are doubled
#: People of the population that quantities are averaged over: another seed moves shares,
#: elasticities and surpluses by less than .02 of their standard error (measured, 3 coefficients).
_POPULATION = 1024
_SKEWED = 2.58  # skewness of tastes, in standard errors, that is said: one in a hundred by chance
_NOTHING = 1e-6  # of a log-odds: a coefficient that moves none by more
_ONE = 1e-3  # of a standard error: two ends of a search are one


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
    likelihood : str or None
        ``sequence`` or ``pairwise``; None for pairwise where outcomes are corrected beliefs.
    sequences : int
        Panels of choices that are drawn from each respondent's beliefs.
    starts : int
        Starts that are compared, with few draws.
    seed : int
        Of draws, of panels from beliefs and of starts.

    Raises
    ------
    UsageError
        For impossible values.
    """

    random: Mapping[str, str]
    correlated: bool | Sequence[str] = False
    space: Space = "preference"
    price: str = "price"
    draws: int | Array | None = 500
    sequence: DrawSequence = "sobol"
    likelihood: Answers | None = None
    sequences: int = 20
    starts: int = 3
    seed: int = 1

    def __post_init__(self) -> None:
        if not isinstance(self.random, Mapping):
            raise UsageError(
                f"random={self.random!r}: give the law of each coefficient that varies, as in "
                "random={'price': 'lognormal-', 'brand': 'normal'}"
            )
        choose(self.space, Space, "space")
        for name, least in (("sequences", 2), ("starts", 1), ("seed", 0)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
                raise UsageError(f"{name}={value!r}, expected a whole number from {least} on")


@dataclass(frozen=True)
class Mixed:
    """A mixed logit, and who answered.

    Attributes
    ----------
    fit : Fit
        The fit.
    respondents : pandas.Index, (I,)
        Ids of the respondents, in the order of the data's rows.
    """

    fit: Fit
    respondents: pd.Index[Any]


class Simulated(Smooth, Protocol):
    """Respondents whose tastes follow a law, in memory or in files."""

    law: Law

    def drawn(self, kind: DrawSequence, size: int, seed: int) -> Self:
        """Themselves with so many draws of each."""

    def skewed(self, params: Array) -> Array:
        """See `llmdemand.modeling.substitution.mixed.MixedPanels.skewed`."""


@dataclass(frozen=True)
class Panelled:
    """Choice situations by respondent, wherever they are.

    Attributes
    ----------
    found : Described
        Where they come from.
    cases : Likelihood
        The situations, as of a plain logit.
    seen : Seen
        What they show of how respondents differ.
    largest : (K,) array
        Largest absolute values of the regressors.
    respondents : pandas.Index, (I,)
        Ids in their order.
    start : function
        Gives the coefficients of the plain logit.
    problem : function of a law and of whether likelihoods are pairwise
        Gives the respondents, without draws as yet.
    """

    found: Described
    cases: Likelihood
    seen: Seen
    largest: Array
    respondents: pd.Index[Any]
    start: Callable[[], Array]
    problem: Callable[[Law, bool], Simulated]


def fit_mixed(
    formula: str,
    data: Data,
    mixing: Mixing,
    options: Options,
    *,
    panel: str | None = None,
    case: str = "case",
    **columns: Any,
) -> Mixed:
    """A mixed logit: see `llmdemand.modeling.models.mixed.mixlogit`."""
    import pandas as pd

    check_options(options, "Mixed logit")
    whose = case if panel is None else panel
    options = by_respondent(options, whose)
    found = choices(formula, data, options, case=case, panel=whose, **columns)
    assert found.respondent is not None
    panels, largest = Panels(found.cases, found.respondent), peaks(found.cases.x)
    ids = found.frame[whose].iloc[found.cases.start[panels.heads]]
    return fit_law(
        Panelled(
            found,
            found.cases,
            panels.seen(largest),
            largest,
            pd.Index(ids, name=whose),
            lambda: plain_start(found),
            lambda law, pairwise: problem_of(
                panels, law, mixing, pairwise=pairwise, fractional=found.cases.fractional
            ),
        ),
        mixing,
        options,
    )


def fit_law(data: Panelled, mixing: Mixing, options: Options) -> Mixed:
    """The fit of choice situations, wherever they are."""
    found, seen = data.found, data.seen
    law = law_of(
        found.design.terms,
        mixing.random,
        {v: found.design.alone(v) for v in ("const", *found.design.variables)},
        correlated=mixing.correlated,
        space=mixing.space,
        price=mixing.price,
    )
    pairwise = by_pairs(data.cases, mixing.likelihood)
    notes = check_mixed(seen, law, pairwise=pairwise)
    problem = data.problem(law, pairwise)
    candidates = _candidates(
        problem.drawn(mixing.sequence, _ROUGH, mixing.seed),
        starts_of(law, data.start(), data.largest, mixing.starts, mixing.seed),
    )
    whole, maxima, said = _simulated(problem, seen.people, mixing, candidates, found.outcome)
    best = maxima.best
    refuse_vanished(law, seen.reach, best.params)
    notes = [
        *said_of(data.cases, pairwise),
        said,
        maxima.note,
        *notes,
        *_at_edges(law, best),
        *([] if pairwise else skewed(law, whole.skewed(best.params))),
    ]
    kernel = MixedKernel(law, _population(law, mixing.seed))
    fit = estimate_smooth(whole, law.names, "Mixed logit", kernel, found, best, options, notes)
    return Mixed(clustered_by(fit, str(data.respondents.name)), data.respondents)


def problem_of(
    panels: Panels,
    law: Law,
    mixing: Mixing,
    *,
    pairwise: bool,
    fractional: bool,
    ranks: Codes | None = None,
) -> Respondents:
    """Respondents, without draws as yet.

    Parameters
    ----------
    panels : Panels
        Choice situations by respondent.
    law, mixing
        Of their tastes, and how it is simulated.
    pairwise, fractional : bool
        Whether the likelihood is of pairs of situations; whether outcomes are beliefs.
    ranks : (I,) int array, optional
        Places of the respondents among all, where others are elsewhere.
    """
    heads, cases = panels.heads, panels.cases
    count, weights = counted(panels, pairwise), cases.weight[heads]
    clusters = {name: codes[heads] for name, codes in cases.groups.items()}
    none = np.empty((panels.people, 0, len(law.random))) if ranks is None else Drawn(law, ranks)
    if pairwise:
        return PairwisePanels(cases, panels, law, none, count, weights, clusters)
    chosen = (
        sequences_of_beliefs(panels, mixing.sequences, mixing.seed, ranks)
        if fractional
        else observed_sequences(panels)
    )
    return MixedPanels(cases, panels, law, none, count, weights, clusters, chosen=chosen)


def check_mixed(seen: Seen, law: Law, *, pairwise: bool = False) -> list[str]:
    """What to say of how well the data can tell spreads of tastes.

    Parameters
    ----------
    seen : Seen
        What the data show of respondents.
    law : Law
        Of the coefficients.
    pairwise : bool
        Whether spreads are seen in pairs of situations alone.

    Raises
    ------
    DesignError
        Where they cannot be told.
    """
    people, once = seen.people, seen.once
    notes = check_pairs(people, once, law.size) if pairwise else []
    if people <= law.size:
        raise DesignError(
            f"{people} respondents for {law.size} parameters of means and spreads: the spread of "
            "tastes is a difference between respondents; ask more of them, or let fewer "
            "coefficients vary"
        )
    if once and not pairwise:
        notes.append(
            f"{once} of {people} respondents answered one situation: of them the spread of "
            "tastes shows in the curve of shares alone, which tells little"
        )
    for k in law.random:
        some = int(seen.varying[k])
        if some < 2:
            raise DesignError(
                f"random: {law.terms[k]!r} varies within the choice sets of {some} of {people} "
                "respondents, so that its spread between them cannot be seen: hold it fixed"
            )
        if some < FEW:
            notes.append(
                f"{law.terms[k]} varies within the choice sets of {some} of {people} respondents "
                "only: its spread is that of these few"
            )
    return notes


def _candidates(rough: Simulated, starts: Sequence[Array]) -> list[Array]:
    """Where starts lead with few draws; what comes to one point is one, repeated."""
    found: list[Array] = []
    for start in starts:
        ended = _settled(rough, start)
        same = [p for p in found if _distance(p - ended.params, ended.information) < _ONE]
        found.append(same[0] if same else ended.params)
    return found


def _highest(data: Simulated, candidates: Sequence[Array], outcome: str) -> Maxima:
    """The highest maximum that candidates lead to, each climbed from once."""
    distinct = list({p.tobytes(): p for p in candidates}.values())
    found = highest(data, distinct, outcome, climb=_settled)
    place = {p.tobytes(): k for k, p in enumerate(distinct)}
    llf = found.llf[[place[p.tobytes()] for p in candidates]]
    return Maxima(found.best, llf, found.reached)


def _simulated(
    problem: Simulated, people: int, mixing: Mixing, candidates: Sequence[Array], outcome: str
) -> tuple[Simulated, Maxima, str]:
    """The data with the draws that are asked for, their maximum, and what to say of them."""
    if mixing.draws is None:
        most = min(_MOST, most_draws(people, mixing.sequence))
        return _steady(problem, mixing, candidates, outcome, most)
    if np.ndim(mixing.draws):
        law = problem.law
        given = given_draws(np.asarray(mixing.draws), people, len(law.random))
        assert isinstance(problem, Respondents)
        whole: Simulated = replace(problem, standard=law.standard(given))
        return whole, _highest(whole, candidates, outcome), f"{given.shape[1]} draws given"
    size = mixing.draws
    if isinstance(size, bool) or not isinstance(size, int | np.integer):
        raise UsageError(f"draws={size!r}: give their number, an array of them, or None")
    if 2 * size > most_draws(people, mixing.sequence):
        raise UsageError(
            f"draws={size} of {people:,} respondents, and twice as many to see what they change, "
            "are more points than Sobol's sequence has: give fewer, or sequence='halton'"
        )
    whole = _drawn(problem, mixing, int(size))
    found = _highest(whole, candidates, outcome)
    return whole, found, _moved(problem, mixing, int(size), found.best)


def _drawn(problem: Simulated, mixing: Mixing, size: int) -> Simulated:
    return problem.drawn(mixing.sequence, size, mixing.seed)


def _population(law: Law, seed: int) -> Array:
    u = uniform_draws(1, _POPULATION, len(law.random), "sobol", seed)
    return law.features(law.standard(u)[0])


def _settled(data: Simulated, start: Array) -> NewtonFit:
    """Where a start leads to, with spreads that are not negative.

    A spread and its mirror image are one law, but not the same draws: what is found on the other
    side is turned over and climbed from again.
    """
    params = data.oriented(start)
    for _ in range(4):
        found = ascend(data, params)
        params = data.oriented(found.params)
        if not found.converged or (params == found.params).all():
            break
    return found


def _steady(
    problem: Simulated, mixing: Mixing, candidates: Sequence[Array], outcome: str, most: int
) -> tuple[Simulated, Maxima, str]:
    """Draws doubled until estimates move by less than a tenth of a standard error."""
    size = _FIRST
    found = _highest(_drawn(problem, mixing, size), candidates, outcome)
    while True:
        size, last = 2 * size, found.best
        whole = _drawn(problem, mixing, size)
        best = highest(whole, [last.params], outcome, climb=_settled).best
        found = replace(found, best=best)
        moved = _distance(best.params - last.params, best.information)
        if moved < _STEADY:
            said = f"{size} draws: from {size // 2} to {size} no estimate moved by more than "
            return whole, found, f"{said}{moved:.2g} of its standard error"
        if 2 * size > most:
            said = f"{size} draws are not enough: from {size // 2} an estimate still moved by "
            return whole, found, f"{said}{moved:.2g} of its standard error"


def _moved(problem: Simulated, mixing: Mixing, size: int, best: NewtonFit) -> str:
    """What twice the draws would change, by one step of Newton's method."""
    _, score, information = _drawn(problem, mixing, 2 * size).evaluated(best.params)
    moved = np.inf
    if np.isfinite(information).all() and np.linalg.eigvalsh(information)[0] > 0:
        step = np.asarray(np.linalg.solve(information, score), np.float64)
        moved = _distance(step, information)
    enough = "" if moved < _STEADY else ": more are needed, draws=None finds how many"
    if moved == np.inf:
        return f"{size} draws; with {2 * size} the estimates are near no maximum{enough}"
    return (
        f"{size} draws; with {2 * size} estimates would move by up to {moved:.2g} of a standard "
        f"error{enough}"
    )


def _distance(step: Array, information: Array) -> float:
    """The largest change in classical standard errors; infinite where there are none."""
    variance = np.diag(np.linalg.pinv(information))
    if not (variance > 0).all():
        return np.inf
    return float((np.abs(step) / np.sqrt(variance)).max())


def refuse_vanished(law: Law, reach: Array, params: Array) -> None:
    """Refuse a lognormal coefficient that ran to zero: the choices ask for the other sign.

    Raises
    ------
    DesignError
        Naming it.
    """
    middle, loads = law.linear_in(params)
    for k in law.random:
        largest = middle[k] + 3 * float(np.sqrt((loads[k] ** 2).sum()))
        if law.laws[k].startswith("log") and np.exp(min(largest, 0.0)) * reach[k] < _NOTHING:
            sign, other = ("negative", "+") if law.laws[k].endswith("-") else ("positive", "-")
            raise DesignError(
                f"{law.terms[k]!r}: its {sign} lognormal coefficients run to zero, for the choices "
                f"ask for the other sign and there is no maximum: use 'lognormal{other}' or "
                "'normal', or look at the data"
            )


def _at_edges(law: Law, best: NewtonFit) -> list[str]:
    """Spreads that are zero but for the simulation."""
    se = np.sqrt(np.maximum(np.diag(np.linalg.inv(best.information)), 0))
    small = law.spreads & (best.params < 0.5 * se)
    names = [n for n, yes in zip(law.names, small, strict=True) if yes]
    if not names:
        return []
    return [
        f"{', '.join(names)}: at the edge, no spread is seen in these data; its standard error and "
        "t value mean little there"
    ]


def skewed(law: Law, sums: Array) -> list[str]:
    """Normal coefficients whose law the data hold for skewed.

    If the law is right the mean over respondents of ``E[z^3 | choices]``, z the standard draw of
    a coefficient, is that of the law, zero. What the choices tell of a skewed law shows in it.

    Parameters
    ----------
    law : Law
        Of the coefficients.
    sums : (5, K) array
        See `llmdemand.modeling.substitution.mixed.MixedPanels.skewed`.
    """
    found, means = [], sums[1] / sums[0]
    errors = np.sqrt(np.maximum(sums[4] - 2 * means * sums[3] + means**2 * sums[2], 0)) / sums[0]
    for k in law.random:
        if law.laws[k] in ("normal", "zero-normal"):
            mean, error = float(means[k]), float(errors[k])
            if abs(mean) > _SKEWED * error:
                found.append(f"{law.terms[k]} ({mean:+.2f})")
    if not found:
        return []
    return [
        f"a normal law does not fit, given their choices tastes are skewed: {', '.join(found)}; a "
        "spread is then biased under a normal law: compare a lognormal one, or classes of people"
    ]
