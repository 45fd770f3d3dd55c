"""The maximum of a simulated likelihood: starts, draws, and whether there are enough."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol, Self

import numpy as np

from llmdemand.errors import UsageError
from llmdemand.modeling.arrays import Array
from llmdemand.modeling.estimation.mixing.mixing import Mixing
from llmdemand.modeling.estimation.smooth import Maxima, highest
from llmdemand.modeling.optimum.ascent import ascend
from llmdemand.modeling.optimum.newton import NewtonFit
from llmdemand.modeling.substitution.draws import Sequence as DrawSequence
from llmdemand.modeling.substitution.draws import given_draws, most_draws
from llmdemand.modeling.substitution.laws import Law
from llmdemand.modeling.substitution.respondents import Respondents
from llmdemand.modeling.substitution.smooth import Smooth

__all__ = ["Simulated", "candidates_of", "simulated"]

_ROUGH = 64  # draws by which starts are compared
_FIRST, _MOST = 256, 16384  # draws that a search for enough begins and ends with
_STEADY = 0.1  # of a standard error: what estimates may move by when draws are doubled
_ONE = 1e-3  # of a standard error: two ends of a search are one


class Simulated(Smooth, Protocol):
    """Respondents whose tastes follow a law, in memory or in files."""

    @property
    def law(self) -> Law:
        """Of the coefficients."""

    def drawn(self, kind: DrawSequence, size: int, seed: int) -> Self:
        """Themselves with so many draws of each: see `uniform_draws`."""


def candidates_of(problem: Simulated, mixing: Mixing, starts: Sequence[Array]) -> list[Array]:
    """Where starts lead with few draws; what comes to one point is one, repeated."""
    rough = _drawn(problem, mixing, _ROUGH)
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


def simulated(
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
