"""Nested logit: from a formula, a long table and a tree to a fit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from llmdemand.errors import UsageError
from llmdemand.modeling.arrays import Array
from llmdemand.modeling.estimation.choices import Described, choices
from llmdemand.modeling.estimation.fit import Fit
from llmdemand.modeling.estimation.options import Options
from llmdemand.modeling.estimation.smooth import (
    check_options,
    estimate_smooth,
    highest,
    plain_start,
)
from llmdemand.modeling.sample.columns import Data
from llmdemand.modeling.substitution.nested import LEAST, MOST, NestedCases, NestedKernel
from llmdemand.modeling.substitution.nests import Dissimilarity, Nests, Tree, tree_of
from llmdemand.modeling.substitution.smooth import Smooth

__all__ = ["fit_nested", "fit_tree"]

_STARTS = (1.0, 0.5, 0.3)  # dissimilarities of the outermost nests
_EDGE = 0.02


def fit_nested(
    formula: str,
    data: Data,
    options: Options,
    nests: Nests,
    dissimilarity: Dissimilarity = None,
    **columns: Any,
) -> Fit:
    """A nested logit: see `llmdemand.modeling.models.nested.nlogit`.

    Parameters
    ----------
    formula, data, options, **columns
        See `llmdemand.modeling.estimation.choices.choices`.
    nests, dissimilarity
        See `llmdemand.modeling.substitution.nests.tree_of`.
    """
    check_options(options, "Nested logit")
    found = choices(formula, data, options, **columns)
    return fit_tree(
        found,
        nests,
        dissimilarity,
        options,
        lambda tree: NestedCases(found.cases, tree),
        lambda: plain_start(found),
    )


def fit_tree(
    found: Described,
    nests: Nests,
    dissimilarity: Dissimilarity,
    options: Options,
    likelihood: Callable[[Tree], Smooth],
    start: Callable[[], Array],
) -> Fit:
    """The fit of choice situations, wherever they are.

    Parameters
    ----------
    found : Described
        Where they come from.
    nests, dissimilarity, options
        See `fit_nested`.
    likelihood : function of a tree
        What is maximised.
    start : function
        Gives the coefficients of the plain logit.
    """
    tree, told = tree_of(nests, found.design.alternatives, dissimilarity)
    if both := set(found.design.terms) & set(tree.terms):
        raise UsageError(
            f"the term {both.pop()!r} is called like a dissimilarity: rename its column"
        )
    cases, plain = likelihood(tree), start()
    starts = [np.concatenate([plain, _free(tree, value)]) for value in _STARTS]
    some = starts if tree.terms else starts[:1]
    maxima = highest(cases, some, found.outcome, edge=lambda b: _edge(tree, b))
    free = maxima.best.params[len(plain) :]
    return estimate_smooth(
        cases,
        (*found.design.terms, *tree.terms),
        "Nested logit",
        NestedKernel(tree),
        found,
        maxima.best,
        options,
        (f"nests: {tree}", *told, *_notes(tree, free), maxima.note),
    )


def _free(tree: Tree, value: float) -> Array:
    """Dissimilarities to start from: `value` of the outermost nests, its powers further in."""
    depth = np.array([len(tree.above(q)) for q in range(len(tree.names))])
    loads = tree.loadings
    return np.asarray(value ** (depth @ loads / loads.sum(axis=0)), np.float64)


def _edge(tree: Tree, params: Array) -> str | None:
    """Why there is no maximum near these parameters, where that is known."""
    free = params[len(params) - len(tree.terms) :]
    for term, value in zip(tree.terms, free, strict=True):
        low = value < 2 * LEAST
        if low or value > MOST / 2:
            way = "falls to 0" if low else "grows without end"
            return (
                f"no maximum, for the likelihood rises as {term} {way} ({value:.3g} was reached): "
                "hold it fixed, as in dissimilarity={nest: 0.5}, or draw other nests"
            )
    return None


def _notes(tree: Tree, free: Array) -> list[str]:
    notes = []
    if tree.terms:
        notes.append(
            "t and p of a dissimilarity are those of the hypothesis that it is 1, as in a plain "
            "logit, not 0"
        )
    if wrong := tree.inconsistent(free):
        notes.append(
            f"not consistent with the maximisation of utility at all prices: {', '.join(wrong)}; "
            "over the prices observed shares may still be (Boersch-Supan 1990)"
        )
    if small := [t for t, v in zip(tree.terms, free, strict=True) if v < _EDGE]:
        notes.append(f"{', '.join(small)} at the edge of 0: read the SE and intervals as no guide")
    return notes
