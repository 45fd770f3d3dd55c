"""Choice sets of both sides as tables by alternative, and demands that are fitted to some."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from llmdemand.calibration.fidelity.sides import Respondents
from llmdemand.calibration.moments.rectified import logit_data
from llmdemand.errors import DesignError
from llmdemand.modeling.arrays import Array, Codes
from llmdemand.modeling.arrays import sums as summed
from llmdemand.modeling.likelihood.cases import Cases
from llmdemand.modeling.optimum.newton import newton
from llmdemand.modeling.sample.designs import Design
from llmdemand.modeling.sample.sample import codes

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Both", "Sets", "both_of", "cases_of", "fitted", "matched"]


@dataclass(frozen=True)
class Sets:
    """Choice sets of one side.

    Attributes
    ----------
    x : (N, A, K) array
        Regressors by set and alternative, 0 where it is not offered.
    y : (N, A) array
        Choices or beliefs.
    offered : (N, A) array of bool
        What is in each set.
    product : (N, A) int array
        Equal numbers are equal variables, on both sides; -1 where it is not offered.
    who, shown : (N,) int arrays
        Respondent; and the set, equal numbers being equal sets on both sides.
    """

    x: Array
    y: Array
    offered: Any
    product: Codes
    who: Codes
    shown: Codes

    def shares(self, params: Array) -> Array:
        """Shares of a logit, (N, A)."""
        v = np.where(self.offered, self.x @ params, -np.inf)
        p = np.exp(v - v.max(axis=1, keepdims=True))
        return np.asarray(p / p.sum(axis=1, keepdims=True))


@dataclass(frozen=True)
class Both:
    """Humans and LLM.

    Attributes
    ----------
    humans, llm : Sets
        Their choice sets.
    respondents : Respondents
        Who is on which side, numbered as in `Sets.who`.
    alternatives : tuple of str
        Names of the A alternatives.
    terms : tuple of str
        Names of the K regressors.
    products : pandas.DataFrame
        Variables of each product, a row each.
    params : pair of (K,) arrays
        Coefficients of the logit of each side.
    """

    humans: Sets
    llm: Sets
    respondents: Respondents
    alternatives: tuple[str, ...]
    terms: tuple[str, ...]
    products: pd.DataFrame
    params: tuple[Array, Array]

    @property
    def brands(self) -> bool:
        """Whether alternatives have constants of their own."""
        return any(t.startswith("const:") for t in self.terms)

    def sums(self, who: Codes, values: Sequence[Array]) -> Array:
        """Sums over respondents of what their sets have, as they are and drawn anew.

        Returns
        -------
        (V, 1 + reps) array
            See `Respondents.sums`.
        """
        n = len(self.respondents.side)
        by_person = np.column_stack([summed(who, v, n) for v in values])
        return self.respondents.sums(by_person).T


def both_of(
    design: Design,
    frames: tuple[pd.DataFrame, pd.DataFrame],
    outcome: str,
    who: tuple[Codes, Codes],
    named: Sequence[str],
    alternative: str,
    respondents: Respondents,
    params: tuple[Array, Array],
) -> Both:
    """Both sides as tables; the rows of a set lie side by side.

    Parameters
    ----------
    design : Design
        From rows to regressors.
    frames, outcome, who
        Rows of both sides, the column of choices and beliefs, and respondents of the rows.
    named : sequence of str
        Variables that a product is made of.
    alternative : str
        Column of alternatives, the same on both sides.
    respondents, params
        See `Both`.
    """
    import pandas as pd

    known = sorted(set(frames[0][alternative]))
    keys = [*dict.fromkeys(named)]
    whole = pd.concat([f[[alternative, *keys]] for f in frames], ignore_index=True)
    product, first = codes(whole, keys)
    wide, made, cut = [], [], len(frames[0])
    for k, frame in enumerate(frames):
        rows = design.expand(frame)
        order, n = rows.order, len(rows.start)
        at = np.repeat(np.arange(n), np.diff(np.append(rows.start, len(order))))
        place = np.searchsorted(known, frame[alternative].to_numpy(object)[order].tolist())
        x, y = np.zeros((n, len(known), rows.x.shape[1])), np.zeros((n, len(known)))
        offered = np.zeros(y.shape, bool)
        what = np.full(y.shape, -1, np.intp)
        x[at, place], y[at, place] = rows.x, frame[outcome].to_numpy(np.float64)[order]
        offered[at, place] = True
        what[at, place] = (product[cut:] if k else product[:cut])[order]
        wide.append(what)
        made.append((x, y, offered, what, who[k][order[rows.start]]))
    shown = np.unique(np.concatenate(wide), axis=0, return_inverse=True)[1].ravel()
    humans, llm = Sets(*made[0], shown[: len(wide[0])]), Sets(*made[1], shown[len(wide[0]) :])
    products = whole[keys].iloc[first].reset_index(drop=True)
    return Both(humans, llm, respondents, tuple(map(str, known)), design.terms, products, params)


def cases_of(sets: Sets, kept: Any = slice(None)) -> Cases:
    """Some of the sets as data of a logit."""
    offered = sets.offered[kept]
    start = np.concatenate([[0], np.cumsum(offered.sum(axis=1))[:-1]]).astype(np.intp)
    found = logit_data(
        sets.x[kept][offered], sets.y[kept][offered], start, np.ones(len(start)), outside=False
    )
    assert isinstance(found, Cases)
    return found


def fitted(sets: Sets, kept: Any, which: str) -> Array:
    """Coefficients of the logit of some sets, (K,).

    Raises
    ------
    DesignError
        If there is no finite estimate.
    """
    if not kept.any():
        raise DesignError(f"no choice sets are left {which}")
    scaled, back = cases_of(sets, kept).standardised()
    found = newton(scaled)
    if not found.converged or found.direction is not None:
        raise DesignError(f"the humans' demand has no finite estimate {which}")
    return np.asarray(back @ found.params)


def matched(humans: Sets, llm: Sets, *, people: bool) -> tuple[Array, Any]:
    """Mean beliefs at the humans' sets, (N, A), and where there are any, (N,).

    Parameters
    ----------
    humans, llm : Sets
        Both sides.
    people : bool
        Whether beliefs are those of the same respondent; of anybody otherwise.
    """
    size = 1 + int(max(humans.shown.max(), llm.shown.max()))
    own, other = (s.who * size + s.shown if people else s.shown for s in (humans, llm))
    known, inverse, count = np.unique(other, return_inverse=True, return_counts=True)
    total = np.zeros((len(known), llm.y.shape[1]))
    np.add.at(total, inverse, llm.y)
    place = np.minimum(np.searchsorted(known, own), len(known) - 1)
    return np.asarray((total / count[:, None])[place]), known[place] == own
