"""Prices that were left out, predicted: by the LLM, by its error elsewhere, by people elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from llmdemand.calibration.fidelity.sides import LEAST, Sides, interval
from llmdemand.errors import DesignError
from llmdemand.modeling.arrays import Array
from llmdemand.modeling.likelihood.cells import sigmoid

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["HeldOut", "carried", "errors_of", "held_out"]

_ALONE, _SHIFTED, _LINE = "LLM alone", "LLM and its error elsewhere", "humans' line elsewhere"


@dataclass(frozen=True)
class HeldOut:
    """Humans' shares at each price or of each product, predicted without those answers.

    Attributes
    ----------
    prices : pandas.DataFrame
        By price or product: ``humans``, and what each predictor says.
    table : pandas.DataFrame
        By predictor: ``rmse, se, lower, upper`` of shares, and its ``gain`` over what people at
        other prices, or with other products, tell, with ``gain_lower, gain_upper``: above 0 the
        LLM tells more of a new one than they do.
    told : str
        The predictor that is named first.
    what, rival : str
        What it misses, and what its gain is over, in words.
    """

    prices: pd.DataFrame
    table: pd.DataFrame
    told: str = _SHIFTED
    what: str = "prices missed by"
    rival: str = "the humans' line through other prices"

    @property
    def found(self) -> str:
        """The first predictor, in words."""
        row = self.table.loc[self.told]
        return (
            f"{self.what} {row['rmse']:.3f}; gain over {self.rival} {row['gain']:+.3f} "
            f"({row['gain_lower']:+.3f} to {row['gain_upper']:+.3f})"
        )


def held_out(sides: Sides, alpha: float) -> HeldOut:
    """Leave out each price in turn.

    Parameters
    ----------
    sides, alpha
        See `llmdemand.calibration.fidelity.spread.spread`.

    Raises
    ------
    DesignError
        For fewer than four common prices, fewer than ten humans at one, or one at which everybody
        says the same.

    Notes
    -----
    Predictors of the log-odds at a price: the LLM's; the LLM's and its mean error at the other
    prices; the line of least squares through the humans' log-odds at the other prices, which
    needs no LLM. Root mean squared errors hold the humans' own sampling noise, which is the same
    for all three. Intervals are of a bootstrap over respondents: `errors_of`.
    """
    import pandas as pd

    count = sides.asked[0].sum(axis=0)
    least = int(count.min()) if len(count) else 0
    if len(sides.levels) < 4 or least < LEAST:
        raise DesignError(
            f"{len(sides.levels)} common prices with {least} humans at least: to hold "
            f"prices out takes four, with {LEAST} humans each"
        )
    y, f = (sides.sums(x) / sides.sums(a) for x, a in zip(sides.mean, sides.asked, strict=True))
    if not ((y[0] > 0) & (y[0] < 1) & (f[0] > 0) & (f[0] < 1)).all():
        raise DesignError("at some price everybody says the same: log-odds are infinite")
    with np.errstate(divide="ignore", invalid="ignore"):
        found = (np.log(x / (1 - x)) for x in (y, f))
        own, told = (np.where(np.isfinite(o), o, np.nan) for o in found)
    everyone = np.arange(len(sides.levels))
    predicted: dict[str, list[Array]] = {_ALONE: [], _SHIFTED: [], _LINE: []}
    for k in everyone:
        kept = everyone != k
        flat, line = (carried(sides.levels, kept, x, sides.levels[[k]])[0] for x in (False, True))
        predicted[_ALONE].append(told[:, k])
        predicted[_SHIFTED].append(told[:, k] + (own - told)[:, kept] @ flat)
        predicted[_LINE].append(own[:, kept] @ line)
    shares = {name: sigmoid(np.column_stack(v)) for name, v in predicted.items()}
    at = {"humans": y[0], **{name: v[0] for name, v in shares.items()}}
    errors = errors_of(y, shares, _LINE, alpha)
    return HeldOut(pd.DataFrame(at, index=sides.levels), errors)


def errors_of(y: Array, said: Mapping[str, Array], rival: str, alpha: float) -> pd.DataFrame:
    """Root mean squared errors of predictors, and their gains over one of them.

    Parameters
    ----------
    y : (1 + reps, T) array
        Humans' shares, by draw of the bootstrap.
    said : mapping of str to (1 + reps, T) array
        What each predictor says.
    rival : str
        Over which the others gain.
    alpha : float
        One minus the confidence level.

    Notes
    -----
    Errors of people who were drawn anew hold their noise twice. Intervals are percentiles of the
    draws: those of an error in proportion to their mean, so that no end is below 0; those of a
    gain moved so that their mean is the estimate.
    """
    import pandas as pd

    rmse = {name: np.sqrt(((v - y) ** 2).mean(axis=1)) for name, v in said.items()}
    rows = {}
    for name, value in rmse.items():
        gain = rmse[rival] - value
        middle = float(value[1:].mean())
        drawn = value[1:] * (value[0] / middle if middle else 1.0)
        ends = interval(np.append(value[0], drawn), alpha)
        moved = gain[1:] + (gain[0] - gain[1:].mean())
        _, low, high = interval(np.append(gain[0], moved), alpha)
        more = {"gain": float(gain[0]), "gain_lower": low, "gain_upper": high}
        rows[name] = {
            "rmse": float(value[0]),
            **dict(zip(("se", "lower", "upper"), ends, strict=True)),
            **more,
        }
    return pd.DataFrame(rows).T


def carried(at: Array, own: Array, line: bool, to: Array) -> Array:
    """Weights of numbers at the prices `own` in what is said of other prices.

    Parameters
    ----------
    at : (T,) array
        Prices.
    own : (T,) array of bool
        Where the numbers are.
    line : bool
        Whether their line in price is carried, in place of their mean.
    to : (S,) array
        Where to.

    Returns
    -------
    (S, own) array

    Examples
    --------
    >>> at = np.array([1.0, 2.0, 3.0])
    >>> carried(at, at < 3, True, at[2:]).round(3).tolist()
    [[-1.0, 2.0]]
    """
    x = at[own]
    weights = np.full((len(to), len(x)), 1 / len(x))
    if line:
        moved = x - x.mean()
        weights = weights + np.outer(to - x.mean(), moved / (moved @ moved))
    return np.asarray(weights)
