"""Many small experiments out of one panel: sums by price, fits, ratios of variances."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llmdemand.core.panel import Panel
from llmdemand.errors import DesignError
from llmdemand.lab.ask import blocks
from llmdemand.modeling.batch.batch import BatchFit, fit_batch
from llmdemand.modeling.outcomes.frames import demand_frame

__all__ = ["Experiments", "jackknife_ratio", "wilson"]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Experiments:
    """Sums by experiment and price; E experiments, J prices.

    Attributes
    ----------
    price : (J,) array
        Distinct prices of the focal alternative.
    n : (E, J) array
        Usable runs.
    total, squares : mapping of str to (E, J) array
        Sums of the outcome and of its square, for ``belief`` and ``choice``.
    """

    price: Array
    n: Array
    total: dict[str, Array]
    squares: dict[str, Array]

    @classmethod
    def of(cls, panel: Panel, size: int | None = None) -> Experiments:
        """Experiments of `size` consecutive runs per cell; one of all runs by default.

        Raises
        ------
        DesignError
            If no run is usable, or all runs have one price.
        """
        frame = demand_frame(panel)
        if frame.empty:
            raise DesignError(f"no usable run among {len(panel)}: nothing can be measured")
        number = np.zeros(len(panel), int) if size is None else blocks(panel, size)
        rows = panel.frame.index.get_indexer(frame.index)
        price, at = np.unique(frame["price"].to_numpy(float), return_inverse=True)
        if len(price) < 2:
            raise DesignError(f"all runs have one price ({price[0]:g}): give at least two")
        shape = (int(number.max()) + 1, len(price))
        place = number[rows] * len(price) + at

        def summed(values: Any) -> Array:
            sums = np.bincount(place, values, minlength=shape[0] * shape[1])
            return sums.reshape(shape).astype(float)

        y = {o: frame[o].to_numpy(float) for o in ("belief", "choice")}
        return cls(
            price,
            summed(np.ones(len(frame))),
            {o: summed(v) for o, v in y.items()},
            {o: summed(v**2) for o, v in y.items()},
        )

    def fit(self, outcome: str, *, firth: bool = False, x: Any = None) -> BatchFit:
        """The demand of every experiment, on price or on the regressors `x`."""
        return fit_batch(
            self.price if x is None else x,
            self.n,
            self.total[outcome],
            self.squares[outcome],
            firth=firth,
        )

    def means(self, outcome: str) -> Array:
        """Mean outcome by experiment and price, NaN where no run is usable; (E, J)."""
        return np.where(self.n > 0, self.total[outcome] / np.where(self.n > 0, self.n, 1), np.nan)


def jackknife_ratio(top: Any, bottom: Any) -> tuple[float, float, float]:
    """Ratio of two variances over the same experiments, with a 95 % interval.

    The standard error of the logarithm is the delete-one jackknife's, the interval t with
    E - 1 degrees of freedom: outcomes need be neither normal nor independent of each other.

    Parameters
    ----------
    top, bottom : (E,) array
        The same experiments measured in two ways.

    Returns
    -------
    ratio, lower, upper : float
        NaN for fewer than three experiments or a variance of zero.

    Examples
    --------
    >>> [round(v, 2) for v in jackknife_ratio([0, 2, 0, 2, 0, 2.5], [0, 1, 0, 1, 0, 1.2])]
    [4.16, 3.76, 4.6]
    """
    from scipy import stats

    a, b = np.asarray(top, float), np.asarray(bottom, float)
    size = len(a)
    if size < 3:
        return (float("nan"),) * 3
    left = [_left_out(v) for v in (a, b)]
    whole = a.var(ddof=1), b.var(ddof=1)
    if not (min(whole) > 0 and min(v.min() for v in left) > 0):
        return (float("nan"),) * 3
    log = np.log(left[0] / left[1])
    se = np.sqrt((size - 1) / size * ((log - log.mean()) ** 2).sum())
    ratio, reach = whole[0] / whole[1], np.exp(stats.t.ppf(0.975, size - 1) * se)
    return float(ratio), float(ratio / reach), float(ratio * reach)


def _left_out(values: Array) -> Array:
    """Variance without each value in turn."""
    size = len(values)
    deviation = (values - values.mean()) ** 2
    # Leaving one out takes size / (size - 1) of its squared deviation from the sum.
    return np.asarray((deviation.sum() - deviation * size / (size - 1)) / (size - 2))


def wilson(hits: int, total: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share; NaN without trials.

    >>> [round(v, 3) for v in wilson(5, 100)]
    [0.022, 0.112]
    """
    if not total:
        return float("nan"), float("nan")
    z = 1.959963984540054
    p, half = hits / total, z * z / total
    middle = (p + half / 2) / (1 + half)
    reach = z * np.sqrt(p * (1 - p) / total + half / (4 * total)) / (1 + half)
    return float(middle - reach), float(middle + reach)
