"""What language-model respondents are worth in humans, and when they pay: closed forms."""

from __future__ import annotations

import math
from dataclasses import dataclass

from llmdemand.errors import UsageError

__all__ = ["Mix", "best_mix", "effective_n", "least_rho", "llm_needed", "rho_of_choice"]


def effective_n(rho: float, n: float, llm: float) -> float:
    """Humans that would give the precision of n humans and `llm` more LLM respondents.

    ``n_eff = n (n + N) / (n + (1 - rho^2) N)``, at the best lambda.

    Parameters
    ----------
    rho : float
        PPI correlation of the target, in [-1, 1]; a negative one is worth nothing, as lambda
        is not negative.
    n : float
        Humans, each asked and answered for by the LLM too.
    llm : float
        N, further LLM respondents.

    Returns
    -------
    float

    Raises
    ------
    UsageError
        For a correlation outside [-1, 1] or negative numbers.

    Examples
    --------
    >>> int(effective_n(0.353, 1e4, 1e5))
    11277
    >>> effective_n(0.0, 200, 1e6), effective_n(1.0, 200, 800)
    (200.0, 1000.0)
    """
    _check_rho(rho)
    if not (n > 0 and llm >= 0):
        raise UsageError(f"n={n}, llm={llm}: give a positive number of humans and N >= 0")
    if math.isinf(llm):
        square = max(rho, 0.0) ** 2
        return n / (1 - square) if square < 1 else math.inf
    square = max(rho, 0.0) ** 2
    return n * (n + llm) / (n + (1 - square) * llm)


def least_rho(gamma: float) -> float:
    """The correlation above which LLM respondents pay: ``2 sqrt(gamma) / (1 + gamma)``.

    Parameters
    ----------
    gamma : float
        Cost of one LLM respondent over that of one human. From 1 on none pays: inf.

    Notes
    -----
    A budget buys n humans, for each of whom the LLM answers too, and N more LLM respondents:
    ``n (1 + gamma) + N gamma`` in units of a human. The variance goes with ``(1 - rho^2) / n +
    rho^2 / (n + N)``; at the best split the product of cost and variance is ``(sqrt(1 - rho^2) +
    rho sqrt(gamma))^2`` times that of humans alone, which is below 1 above this correlation.

    Examples
    --------
    >>> round(least_rho(0.01), 3), least_rho(0.0), least_rho(2.0)
    (0.198, 0.0, inf)
    """
    if not gamma >= 0:
        raise UsageError(f"gamma={gamma}: costs are not negative")
    return 2 * math.sqrt(gamma) / (1 + gamma) if gamma < 1 else math.inf


def rho_of_choice(rho_belief: float, v_belief: float, v_sampling: float) -> float:
    """The correlation that sampled choices have, from that of belief.

    ``rho_choice^2 = rho_belief^2 V_f / (V_f + V_sampling)``: drawing an answer adds noise that
    has nothing to do with the human.

    Parameters
    ----------
    rho_belief : float
        PPI correlation of belief.
    v_belief : float
        V_f, variance of belief's contribution to the target between respondents.
    v_sampling : float
        Mean variance that drawing choices adds to it.

    Examples
    --------
    >>> rho_of_choice(0.5, 1.0, 3.0)
    0.25
    """
    _check_rho(rho_belief)
    if not (v_belief >= 0 and v_sampling >= 0 and v_belief + v_sampling > 0):
        raise UsageError(f"V_f={v_belief}, V_sampling={v_sampling}: give variances")
    return rho_belief * math.sqrt(v_belief / (v_belief + v_sampling))


@dataclass(frozen=True)
class Mix:
    """Humans and LLM respondents to ask.

    Attributes
    ----------
    humans : int
        n; the LLM answers for each of them too (unless `llm` is zero).
    llm : int
        N, further LLM respondents.
    cost : float
        Of all of them.
    n_eff : float
        Humans alone that would be as precise.
    """

    humans: int
    llm: int
    cost: float
    n_eff: float


def llm_needed(rho: float, n: float, goal: float) -> float:
    """N for which n humans are worth `goal`; inf if no number suffices.

    >>> round(llm_needed(0.5, 100, 125))
    400
    """
    square = max(rho, 0.0) ** 2
    if goal <= n:
        return 0.0
    below = n - goal * (1 - square)
    return n * (goal - n) / below if below > 0 else math.inf


def best_mix(
    rho: float,
    cost_human: float,
    cost_llm: float,
    *,
    n_eff: float | None = None,
    budget: float | None = None,
    fewest: int = 2,
) -> Mix:
    """The cheapest mix for a precision, or the most precise one for a budget.

    Parameters
    ----------
    rho : float
        PPI correlation of the target.
    cost_human, cost_llm : float
        Of one respondent; the first positive.
    n_eff, budget : float
        One of them.
    fewest : int
        Humans at the least.

    Returns
    -------
    Mix
        In whole respondents; humans alone (``llm = 0``) where that is at least as good.

    Raises
    ------
    UsageError
        For impossible arguments, or a budget that pays for fewer than `fewest` humans.

    Examples
    --------
    >>> found = best_mix(0.7, 10.0, 0.1, n_eff=1000)
    >>> found.humans, found.llm, found.cost
    (560, 4928, 6148.8)
    >>> best_mix(0.1, 10.0, 1.0, n_eff=1000)
    Mix(humans=1000, llm=0, cost=10000.0, n_eff=1000.0)
    """
    _check_rho(rho)
    if not (cost_human > 0 and cost_llm >= 0):
        raise UsageError(
            f"cost_human={cost_human}, cost_llm={cost_llm}: give the cost of one respondent each, "
            "the human's above zero"
        )
    if (n_eff is None) == (budget is None):
        raise UsageError("give n_eff or budget, one of them")
    if n_eff is not None:
        if not (n_eff > 0 and math.isfinite(n_eff)):
            raise UsageError(f"n_eff={n_eff}: give a positive number of humans")
        return _cheapest(rho, cost_human, cost_llm, n_eff, fewest)
    assert budget is not None
    return _most_precise(rho, cost_human, cost_llm, budget, fewest)


def _mix(rho: float, n: int, llm: int, cost_human: float, cost_llm: float) -> Mix:
    cost = n * cost_human + ((n + llm) * cost_llm if llm else 0.0)
    return Mix(n, llm, round(cost, 10), effective_n(rho, n, llm))


def _cheapest(rho: float, cost_human: float, cost_llm: float, goal: float, fewest: int) -> Mix:
    alone = max(math.ceil(goal - 1e-9), fewest)
    best = _mix(rho, alone, 0, cost_human, cost_llm)
    square = max(rho, 0.0) ** 2
    low = max(math.floor(goal * (1 - square)), fewest)
    # Cost is convex in the number of humans: the best whole number is found by ternary search.
    high = alone

    def cost(n: int) -> float:
        llm = llm_needed(rho, n, goal)
        return math.inf if math.isinf(llm) else n * (cost_human + cost_llm) + llm * cost_llm

    while high - low > 3:
        third = (high - low) // 3
        left, right = low + third, high - third
        if cost(left) <= cost(right) and math.isfinite(cost(left)):
            high = right
        else:
            low = left
    for n in range(max(low - 2, fewest), high + 3):
        llm = llm_needed(rho, n, goal)
        if math.isfinite(llm) and llm > 0:
            found = _mix(rho, n, math.ceil(llm - 1e-9), cost_human, cost_llm)
            best = min(best, found, key=lambda m: m.cost)
    return best


def _most_precise(
    rho: float, cost_human: float, cost_llm: float, budget: float, fewest: int
) -> Mix:
    alone = math.floor(budget / cost_human + 1e-9) if math.isfinite(budget) else 0
    if alone < fewest:
        raise UsageError(
            f"budget={budget:g}: it has to pay for at least {fewest} humans at {cost_human:g} each"
        )
    best = _mix(rho, alone, 0, cost_human, cost_llm)
    if cost_llm == 0:
        raise UsageError(
            "cost_llm=0 and a budget: any number of LLM respondents is free then; give what one "
            "costs, or n_eff"
        )
    gamma, square = cost_llm / cost_human, max(rho, 0.0) ** 2
    root = math.sqrt(1 - square) + max(rho, 0.0) * math.sqrt(gamma)
    n = budget / cost_human * math.sqrt(1 - square) / root if root else alone
    for humans in range(max(math.floor(n) - 2, fewest), min(math.ceil(n) + 3, alone + 1)):
        llm = math.floor((budget - humans * (cost_human + cost_llm)) / cost_llm + 1e-9)
        if llm > 0:
            best = max(best, _mix(rho, humans, llm, cost_human, cost_llm), key=lambda m: m.n_eff)
    return best


def _check_rho(rho: float) -> None:
    if not -1 <= rho <= 1:
        raise UsageError(f"rho={rho}: a correlation lies between -1 and 1")
