"""Mean shares, elasticities and marginal effects of rows in files, a part of them at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from llmdemand.errors import UsageError
from llmdemand.modeling.arrays import Array
from llmdemand.modeling.likelihood.kernels import Kernel, Numbers
from llmdemand.modeling.passes.labelled import Labelled
from llmdemand.modeling.passes.rows import Numbered, Rows
from llmdemand.modeling.passes.spread import Spread
from llmdemand.modeling.quantities.effects import marginal_effects
from llmdemand.modeling.quantities.intervals import Drawn, Fit, coefficients, infer
from llmdemand.modeling.quantities.quantity import Quantity
from llmdemand.modeling.quantities.responses import elasticity, shares
from llmdemand.modeling.sample.columns import stacked
from llmdemand.modeling.sample.designs import Design

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["over_parts", "summed"]

_ROWS = 1 << 17  # at a time
_NUMBERS = ["estimate", "se", "lower", "upper"]
_ZERO = "prices are zero"

Question = Callable[..., Quantity]


def summed(fit: Any, quantity: Question) -> bool:
    """Whether a quantity of a fit is a mean over rows in files that parts of them give."""
    return _rows(fit) is not None and quantity in (shares, elasticity, marginal_effects)


def _rows(fit: Any) -> Rows | Labelled | None:
    data = getattr(fit, "data", None)
    rows = data.rows if isinstance(data, Spread) else None
    return rows if isinstance(rows, Rows | Labelled) else None


def over_parts(
    fit: Any, quantity: Question, asked: tuple[Any, ...], options: Mapping[str, Any]
) -> Quantity:
    """A mean over rows that stayed in their files: of the means of parts, by their weights.

    Parameters
    ----------
    fit : Fit
        With data in files, see `summed`.
    quantity : function
        `shares`, `elasticity` or `marginal_effects`.
    asked, options
        What it is asked besides the fit.

    Returns
    -------
    Quantity
        With intervals by the delta method: derivatives by the coefficients are means, too.

    Raises
    ------
    UsageError
        For averages that are no means over observations, and intervals by draws.
    """
    rows = _rows(fit)
    assert rows is not None
    kept = {k: v for k, v in options.items() if k not in Drawn.__annotations__}
    drawn = cast(Drawn, {k: v for k, v in options.items() if k not in kept})
    whole = _Part.of(fit, rows.specimens)
    if hasattr(kept.get("at"), "columns"):  # rows of the caller's: none of the files
        return quantity(whole, *asked, **options)
    _refuse("average", kept.get("average", "mean"), "mean")
    _refuse("ci", drawn.get("ci") or "delta", "delta")
    work = partial(_means, whole=whole, rows=rows, quantity=partial(quantity, **kept), asked=asked)
    found: _Means = fit.data.session.map_merge(work, fit.data.shards)
    said = found.said
    assert said is not None  # there was something to fit
    estimate, slopes = found.estimate / found.weight, found.slopes / found.weight
    b = coefficients(fit)

    def value(at: Numbers) -> Numbers:
        return np.asarray(estimate + slopes @ (at - b))

    return infer(
        fit,
        value,
        name=said.name,
        keys=said.table.drop(columns=_NUMBERS),
        rule=said.rule,
        unit=said.unit,
        notes=found.notes,
        drawn=drawn,
        shares=quantity is shares,
    )


def _refuse(name: str, given: object, known: str) -> None:
    if given != known:
        raise UsageError(
            f"{name}={given!r} needs all rows at once, which are in files: use {known!r}, or give "
            "the values in at=... as a data frame"
        )


@dataclass(frozen=True)
class _Part:
    """Some rows of a fit, as a `Fit`."""

    params: pd.Series[float]
    cov: pd.DataFrame
    df: float
    converged: bool
    design: Design
    outcome: str
    kernel: Kernel
    frame: pd.DataFrame
    weights: Array
    separated: bool = False
    quiet: tuple[Any, ...] = ()

    @classmethod
    def of(cls, fit: Fit, frame: pd.DataFrame) -> _Part:
        """Rows that count for nothing; they hold all levels and both ends of numbers."""
        assert fit.design is not None
        said = (fit.params, fit.cov, fit.df, fit.converged, fit.design, fit.outcome, fit.kernel)
        return cls(*said, frame, np.zeros(len(frame)))

    def beside(self, frame: pd.DataFrame, weight: Array) -> _Part:
        """These rows besides: what derivatives and ranges look at is the same in every part."""
        rows = stacked([self.frame, frame[list(self.frame.columns)]])
        return replace(self, frame=rows, weights=np.concatenate([self.weights, weight]))

    def draws(self, reps: int = 1000, seed: int = 1) -> Array:
        """There are none."""
        raise UsageError("ci='bootstrap' needs the rows, which are in files: use 'delta'")


@dataclass(frozen=True)
class _Means:
    """Weighted sums of estimates and their derivatives, and what is said of them."""

    weight: float
    estimate: Any
    slopes: Any
    said: Quantity | None
    notes: tuple[str, ...] = ()

    def __add__(self, other: _Means) -> _Means:
        return _Means(
            self.weight + other.weight,
            self.estimate + other.estimate,
            self.slopes + other.slopes,
            other.said if self.said is None else self.said,
            (*dict.fromkeys((*self.notes, *other.notes)),),
        )


def _means(
    shard: Numbered,
    whole: _Part,
    rows: Rows | Labelled,
    quantity: Question,
    asked: tuple[Any, ...],
) -> _Means:
    found = _Means(0.0, 0.0, 0.0, None)
    for frame, weight in _weighted(shard, rows):
        said = quantity(whole.beside(frame, weight), *asked, ci="delta")
        w, table = float(weight.sum()), said.table
        # How many there are is known of the part alone.
        zero = f"some {_ZERO}: elasticities there are zero"
        notes = (zero if _ZERO in note else note for note in said.notes)
        estimate = table["estimate"].to_numpy(np.float64)
        assert said.gradient is not None
        found += _Means(w, w * estimate, w * said.gradient, said, tuple(notes))
    return found


def _weighted(shard: Numbered, rows: Rows | Labelled) -> Iterator[tuple[pd.DataFrame, Array]]:
    """Rows, some at a time, and what each counts."""
    c = rows.columns
    for whole, _ in c.parts(shard[1]):
        for first in range(0, len(whole), _ROWS):
            frame = whole.iloc[first : first + _ROWS]
            _, count, weight = c.counted(frame)
            weight = count * weight
            if (weight > 0).any():
                yield frame[weight > 0], weight[weight > 0]
