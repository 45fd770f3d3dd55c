"""Whether the LLM knows the person: hits and likelihood task by task, against what others reach."""

from __future__ import annotations

import numpy as np

from llmdemand.calibration.fidelity.individuals import Individuals, tabled
from llmdemand.calibration.fidelity.sets.answers import Both, Sets, fitted, matched
from llmdemand.calibration.fidelity.sides import LEAST
from llmdemand.errors import DesignError
from llmdemand.modeling.arrays import Array

__all__ = ["individuals", "others_demand"]

_FOLDS = 10
_RANDOM = "one alternative of the set, at random"
_OTHERS = "the other humans' demand at the same set"
_AGAIN = "the same people who meet the same set again"


def individuals(both: Both, alpha: float) -> Individuals:
    """Agreement person by person and task by task.

    Parameters
    ----------
    both : Both
        Choice sets of both sides.
    alpha : float
        One minus the confidence level.

    Raises
    ------
    DesignError
        If the LLM answered fewer than ten humans' sets as them, beliefs leave [0, 1], or the
        humans' demand has no finite estimate without some of them.

    Notes
    -----
    Of choice y and belief f over the alternatives of a set, a *hit* is a choice of the alternative
    that belief holds most likely (ties count in parts), the *agreement* is ``sum_a y_a f_a``, the
    likelihood of a task is f at the choice. They stand beside those of a random alternative, and
    beside the demand of the *other* humans: a conditional logit of the study's formula, fitted
    without a tenth of the respondents for whom it then speaks. *Kappa within choice sets* is
    ``(A - C) / (1 - C)``, C the agreement of that demand with belief: 0 for a belief that knows
    the sets and not the person, as far as the logit is right. Where people met one set twice,
    their own agreement is the test-retest rate, which no belief can be asked to exceed by much.
    Nothing is clipped. An LLM that gave choices and no probabilities has no likelihood of its
    own; that of the demand fitted to its answers stands in the table either way. Intervals are
    percentiles of a bootstrap over respondents, the others' demand held as it is.
    """
    h = both.humans
    f, found = matched(h, both.llm, people=True)
    n = len(np.unique(h.who[found]))
    if n < LEAST:
        raise DesignError(
            f"the LLM answered {n} humans' choice sets under their own id: agreement person by "
            f"person needs {LEAST}"
        )
    f = f[found]
    if ((f < 0) | (f > 1)).any():
        raise DesignError(
            "corrected beliefs of single answers leave [0, 1]: they are right on average and no "
            "probabilities of one person; reading='pivot' compares people"
        )
    others = others_demand(both)[found]
    demand = h.shares(both.params[1])[found]
    y, size = h.y[found], h.offered[found].sum(axis=1)
    single = bool(((f == 0) | (f == 1)).all())
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = [np.where(y > 0, y * np.log(p), 0.0).sum(axis=1) for p in (f, others, demand)]
    impossible = 0 if single else int(np.sum(~np.isfinite(logs[0])))
    asked, agreed, chance = _again(h)
    parts = {
        "n": np.ones(len(y)),
        "random": 1 / size,
        "hit": _hits(y, f),
        "others hit": _hits(y, others),
        "agree": (y * f).sum(axis=1),
        "by chance": (others * f).sum(axis=1),
        "log": np.where(np.isfinite(logs[0]), logs[0], 0.0),
        "log random": -np.log(size),
        "log others": logs[1],
        "log demand": logs[2],
        "brier": ((y - f) ** 2).sum(axis=1),
        "brier others": ((y - others) ** 2).sum(axis=1),
    }
    sums = dict(zip(parts, both.sums(h.who[found], list(parts.values())), strict=True))
    mean = {k: v / sums["n"] for k, v in sums.items()}
    none = np.zeros_like(mean["hit"])
    rows = {
        "hit rate": (mean["hit"], mean["random"], _RANDOM),
        "hit rate, gain": (mean["hit"] - mean["others hit"], none, _OTHERS),
    }
    if asked.any():
        again, agree, random = both.sums(h.who, [asked, agreed, chance])
        with np.errstate(divide="ignore", invalid="ignore"):
            retest, by_chance = agree / again, random / again
            rows["test-retest rate of humans"] = (retest, by_chance, _RANDOM)
            rows["hit rate over test-retest"] = (mean["hit"] / retest, none + 1, _AGAIN)
    with np.errstate(divide="ignore", invalid="ignore"):
        kappa = (mean["agree"] - mean["by chance"]) / (1 - mean["by chance"])
    rows["agreement"] = (mean["agree"], mean["by chance"], _OTHERS)
    rows["kappa within choice sets"] = (kappa, none, _OTHERS)
    if not single:
        score = np.full_like(none, -np.inf) if impossible else mean["log"]
        rows["log likelihood per task"] = (score, mean["log random"], _RANDOM)
        rows["log likelihood per task, gain"] = (score - mean["log others"], none, _OTHERS)
    told = mean["log demand"]
    rows["log likelihood per task of the LLM's demand"] = (told, mean["log random"], _RANDOM)
    gain = told - mean["log others"]
    rows["log likelihood per task of the LLM's demand, gain"] = (gain, none, _OTHERS)
    rows["Brier score"] = (mean["brier"], mean["brier others"], _OTHERS)
    rows["Brier score, gain"] = (mean["brier others"] - mean["brier"], none, _OTHERS)
    return Individuals(
        tabled(rows, alpha),
        n,
        len(y),
        impossible,
        ("hit rate", "kappa within choice sets"),
        int(asked.sum()),
        single,
    )


def others_demand(both: Both) -> Array:
    """Shares at each human set by the demand of other humans, (N, A)."""
    h = both.humans
    people = np.unique(h.who)
    fold = np.full(int(people.max()) + 1, -1)
    rng = np.random.default_rng(both.respondents.seed)
    fold[rng.permutation(people)] = np.arange(len(people)) % _FOLDS
    found = np.zeros(h.y.shape)
    for k in range(_FOLDS):
        out = fold[h.who] == k
        if out.any():
            found[out] = h.shares(fitted(h, ~out, "without a tenth of them"))[out]
    return found


def _hits(y: Array, p: Array) -> Array:
    """Whether the choice is the most likely alternative; of several each in equal parts."""
    top = p == p.max(axis=1, keepdims=True)
    return np.asarray((y * top).sum(axis=1) / top.sum(axis=1))


def _again(sets: Sets) -> tuple[Array, Array, Array]:
    """By set: pairs with an earlier one that is the same, those answered alike, and by chance.

    All pairs of a person and set stand at its first; only choices of 0 and 1 are compared.
    """
    pairs, alike, chance = (np.zeros(len(sets.who)) for _ in range(3))
    if not ((sets.y == 0) | (sets.y == 1)).all():
        return pairs, alike, chance
    key = sets.who * (1 + int(sets.shown.max())) + sets.shown
    _, first, inverse, m = np.unique(key, return_index=True, return_inverse=True,
                                     return_counts=True)  # fmt: skip
    total = np.zeros((len(first), sets.y.shape[1]))
    np.add.at(total, inverse, sets.y)
    pairs[first] = m * (m - 1) / 2
    alike[first] = ((total**2).sum(axis=1) - m) / 2
    chance[first] = pairs[first] / sets.offered[first].sum(axis=1)
    return pairs, alike, chance
