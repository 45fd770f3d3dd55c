"""Products that were left out, predicted: by the LLM, and by people's demand for the others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from llmdemand.calibration.fidelity.held_out import HeldOut, errors_of
from llmdemand.calibration.fidelity.sets.answers import Both, cases_of, fitted, matched
from llmdemand.calibration.fidelity.sides import LEAST
from llmdemand.errors import DesignError
from llmdemand.modeling.arrays import Array, Codes

__all__ = ["held_out"]

_ALONE, _RANDOM, _DEMAND = "LLM alone", "at random", "humans' demand elsewhere"
_MOST = 200


def held_out(both: Both, alpha: float) -> HeldOut:
    """Leave out each product in turn.

    Parameters
    ----------
    both : Both
        Choice sets of both sides.
    alpha : float
        One minus the confidence level.

    Raises
    ------
    DesignError
        For fewer than four products that ten humans were offered at sets which the LLM was shown
        too, more than 200, or no demand of the humans without one.

    Notes
    -----
    A product is a combination of the formula's variables. Its share is that of the humans' choices
    where it was offered. Three predict it: the LLM's mean belief at the same sets; a logit of the
    formula, fitted to the humans' sets *without* that product, which needs no LLM; and one over
    the size of each set. Errors are root mean squares over products and hold the humans' own
    sampling noise, the same for all. Intervals are of a bootstrap over respondents (`errors_of`),
    in which the demand elsewhere moves by each respondent's influence on it.
    """
    import pandas as pd

    h = both.humans
    f, found = matched(h, both.llm, people=False)
    held = _held(both, found)
    names = [_named(row) for row in both.products.iloc[held].to_dict("records")]
    values: list[Array] = []
    for k, name in zip(held, names, strict=True):
        here = (h.product == k) & found[:, None]
        away = ~(h.product == k).any(axis=1)
        params = fitted(h, away, f"without the product {name}")
        share = h.shares(params)
        told = (share * here).sum(axis=1)
        mean = np.einsum("na,nak->nk", share, h.x)
        slope = np.einsum("na,nak->k", share * here, h.x - mean[:, None]) / here.sum()
        elsewhere = cases_of(h, away)
        moved = np.zeros(len(h.who))
        inverse = np.linalg.inv(elsewhere.information(params))
        moved[away] = elsewhere.scores(params) @ inverse @ slope
        random = (here / h.offered.sum(axis=1, keepdims=True)).sum(axis=1)
        parts = [
            here.sum(axis=1).astype(float),
            (h.y * here).sum(axis=1),
            (f * here).sum(axis=1),
            told,
            random,
            moved,
        ]
        values.append(both.sums(h.who, parts))
    count, own, alone, demand, random, moved = np.moveaxis(np.array(values), 1, 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        said = {
            _ALONE: (alone / count).T,
            _RANDOM: (random / count).T,
            _DEMAND: (demand / count + moved).T,
        }
        y = (own / count).T
    index = pd.Index(names, name="product")
    return HeldOut(
        pd.DataFrame({"humans": y[0], **{k: v[0] for k, v in said.items()}}, index=index),
        errors_of(y, said, _DEMAND, alpha),
        _ALONE,
        "products missed by",
        "the humans' demand for other products",
    )


def _named(row: Mapping[Any, Any]) -> str:
    return ", ".join(f"{k} {v:g}" if isinstance(v, int | float) else f"{k} {v}"
                     for k, v in row.items())  # fmt: skip


def _held(both: Both, found: Any) -> Codes:
    """Products that enough humans were offered where the LLM was shown the set too."""
    h = both.humans
    at = h.offered & found[:, None]
    pairs = np.unique(np.column_stack([np.repeat(h.who, at.sum(axis=1)), h.product[at]]), axis=0)
    known, people = np.unique(pairs[:, 1], return_counts=True)
    held = known[people >= LEAST]
    if len(held) < 4 or len(held) > _MOST:
        raise DesignError(
            f"{len(held)} of {len(np.unique(h.product[h.offered]))} products were offered to "
            f"{LEAST} humans or more in sets that the LLM was shown too: to hold products out "
            f"takes 4 to {_MOST}"
        )
    return np.asarray(held, np.intp)
