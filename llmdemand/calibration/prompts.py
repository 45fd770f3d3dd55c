"""The best of several prompts, chosen on these humans and yet honest: by cross-fitting."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from llmdemand.calibration.proxies.joint import contributions
from llmdemand.calibration.samples.samples import Pairs
from llmdemand.calibration.target import Target
from llmdemand.errors import UsageError
from llmdemand.modeling.arrays import Array, Codes

__all__ = ["FOLDS", "best_prompt", "check_prompts"]

#: Parts into which humans are divided, or as many as there are pairs of humans.
FOLDS = 5


def check_prompts(prompts: Any, stated: Any) -> list[str]:
    """The columns of beliefs, one for each prompt.

    Raises
    ------
    UsageError
        For fewer than two, the same twice, or a statement of whose answers chose besides.
    """
    if isinstance(prompts, str) or not isinstance(prompts, Sequence):
        raise UsageError(f"prompts={prompts!r}: give the columns of their beliefs as a list")
    names = [str(p) for p in prompts]
    if len(set(names)) < max(len(names), 2):
        raise UsageError(f"prompts={names}: give at least two columns, each once")
    if stated is not None:
        raise UsageError(
            "prompt_chosen_on is for prompts that were chosen before: prompts=[...] are chosen "
            "here, by cross-fitting"
        )
    return names


def best_prompt(
    pairs: Mapping[str, Pairs],
    target: Target,
    design: str | Mapping[Any, float],
    seed: int,
) -> tuple[Pairs, str]:
    """The humans with beliefs of prompts that other humans chose, and what was chosen.

    Parameters
    ----------
    pairs : mapping of str to Pairs
        The same rows with each prompt's beliefs.
    target, design
        Of the calibration.
    seed : int
        Of the folds.

    Returns
    -------
    Pairs, str

    Notes
    -----
    The humans are divided into folds. In each, the beliefs are those of the prompt that saves most
    for the humans outside of it (``C^2 / (V_n + V_N)``, C above zero). The pool's belief in a cell
    is the mean over folds, weighted by the humans of the cell in each: whatever was chosen, the
    correction is zero in expectation, as no human's answer chose their own belief.
    """
    names = list(pairs)
    base = pairs[names[0]]
    if base.survey is not None:
        raise UsageError(
            "prompts=[...] are chosen among people who count alike, without weights, strata and "
            "clusters: take them together with proxies=[...]"
        )
    n = base.humans.respondents
    folds = min(FOLDS, n // 2)
    if folds < 2:
        raise UsageError(f"{n} humans: prompts are chosen by cross-fitting, which needs at least 4")
    fold = np.random.default_rng(seed).permutation(n) % folds
    parts = contributions(list(pairs.values()), target, design)
    chosen = [_best(parts, fold != k) for k in range(folds)]
    human, pool = _mixed([pairs[name] for name in names], fold, chosen, design == "sampled")
    told = {names[k]: chosen.count(k) for k in dict.fromkeys(chosen)}
    most = pairs[max(told, key=lambda name: told[name])]
    found = replace(base.with_beliefs(human, pool), told=most.told, asked=most.asked)
    said = ", ".join(f"{name!r} in {count}" for name, count in told.items())
    return found, f"of {len(names)} prompts {said} of {folds} folds, chosen by the other humans"


def _best(parts: list[tuple[Array, Array, Array]], train: Any) -> int:
    gains = []
    for r, q, pool in parts:
        c, v = float(r[train] @ q[train]), float(q[train] @ q[train] + pool @ pool)
        gains.append(np.sign(c) * c**2 / v if v > 0 else 0.0)
    return int(np.argmax(gains))


def _mixed(pairs: list[Pairs], fold: Codes, chosen: list[int], whole: bool) -> tuple[Array, Array]:
    """Beliefs of the humans, each by the prompt of their fold, and of the pool, by cell."""
    base = pairs[0]
    cells, folds = len(base.begin), len(chosen)
    case_fold = fold[base.humans.respondent]
    sizes = np.diff(np.append(base.humans.start, len(base.humans.f)))
    by_row = np.repeat(np.array(chosen)[case_fold], sizes)
    human = np.column_stack([p.humans.f for p in pairs])[np.arange(len(by_row)), by_row]
    cell = np.zeros_like(base.humans.cell) if whole else base.humans.cell
    count = np.bincount(cell * folds + case_fold, minlength=cells * folds).reshape(cells, folds)
    pool_cell = np.zeros_like(base.pool.cell) if whole else base.pool.cell
    with np.errstate(invalid="ignore"):
        share = count / count.sum(axis=1, keepdims=True)
    weight = np.repeat(
        share[pool_cell], np.diff(np.append(base.pool.start, len(base.pool.f))), axis=0
    )
    told = np.column_stack([pairs[k].pool.f for k in chosen])
    return np.asarray(human), np.asarray((weight * told).sum(axis=1))
