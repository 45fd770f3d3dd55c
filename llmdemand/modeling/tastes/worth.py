"""What attributes are worth to respondents: the distribution of willingness to pay."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from llmdemand.modeling.arrays import Array
from llmdemand.modeling.quantities.quantity import Quantity
from llmdemand.modeling.tastes.fitting import Fitted
from llmdemand.modeling.tastes.law import Noisy, normal_law, shrunken
from llmdemand.modeling.tastes.shape import matched
from llmdemand.scale.executors import Executor
from llmdemand.scale.merging import mapped

__all__ = ["worth"]

_QUANTILES = (0.1, 0.25, 0.5, 0.75, 0.9)
_MANY = 0.05  # of respondents who like high prices: a ratio to it says little then


def worth(
    fitted: Fitted,
    back: Array,
    terms: tuple[str, ...],
    price: str,
    *,
    replications: int,
    seed: int,
    level: float,
    unit: str,
    executor: Executor = None,
) -> Quantity:
    """Quantiles over respondents of ``-beta_k / beta_price``: see `Tastes.willingness_to_pay`."""
    place = terms.index(price)
    others = [k for k in range(len(terms)) if k != place]
    of = _Ratios(fitted, back, place)
    estimate = of(None)
    rng, people = np.random.default_rng(seed), len(fitted.predicted)
    equal = np.full(people, 1 / people)
    counts = (rng.multinomial(people, equal).astype(float) for _ in range(replications))
    draws = np.array(list(mapped(of, counts, executor)))
    lower, upper = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2], axis=0)
    names = [(terms[k], _named(q)) for k in others for q in _QUANTILES]
    table = pd.DataFrame([*names, (price, "share not below 0")], columns=["of", "statistic"])
    table = table.assign(estimate=estimate, se=draws.std(axis=0, ddof=1), lower=lower, upper=upper)
    notes = ["shares and quantiles of respondents, whose coefficients are matched to the law"]
    if estimate[-1] > _MANY:
        notes.append(
            f"{100 * estimate[-1]:.0f} % of respondents have a price coefficient that is not "
            "negative: what something is worth to them has no meaning, and the outer quantiles "
            "mix them with those who hardly mind prices"
        )
    return Quantity(
        "willingness to pay",
        table,
        f"over {people:,} respondents",
        f"{100 * level:g} %, {replications} bootstraps of respondents",
        unit,
        tuple(notes),
    )


@dataclass(frozen=True)
class _Ratios:
    """Quantiles of the ratios, and the share of slopes not below 0, by how often each is drawn."""

    fitted: Fitted
    back: Array
    place: int  # of the price

    def __call__(self, count: Array | None) -> Array:
        fitted = self.fitted
        law, predicted = fitted.law, fitted.predicted
        if count is not None:
            data = Noisy(fitted.noisy.estimate, fitted.noisy.precision, count)
            law = normal_law(data, start=law.covariance)
            predicted = shrunken(data, law)[0]
        each = matched(predicted, law, count) @ self.back.T
        if count is not None:
            each = np.repeat(each, count.astype(np.intp), axis=0)
        slope = each[:, self.place]
        with np.errstate(divide="ignore", invalid="ignore"):
            ratios = -np.delete(each, self.place, axis=1) / slope[:, None]
        found = np.quantile(ratios, _QUANTILES, axis=0).T.ravel()
        return np.append(found, (slope >= 0).mean())


def _named(q: float) -> str:
    return "median" if q == 0.5 else f"{100 * q:g} % quantile"
