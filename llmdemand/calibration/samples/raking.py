"""Weights that bring a sample to known margins: raking (iterative proportional fitting)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np

from llmdemand.core.line import OneLine
from llmdemand.errors import DesignError, UsageError
from llmdemand.modeling.arrays import Array, Codes
from llmdemand.modeling.sample.sample import require

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Margins", "Raked", "indicators", "kish", "rake"]

#: Of each column, how many people (or what share of them) have each of its values.
Margins = Mapping[str, Mapping[Any, float]]

_ROUNDS = 1000
_CLOSE = 1e-10  # of a margin's total
_AGREE = 1e-6  # totals of two margins, or a sum of shares


@dataclass(frozen=True, repr=False)
class Raked(OneLine):
    """Weights of people, and what they had to do.

    Attributes
    ----------
    weights : pandas.Series
        One for each row; all rows of a person have theirs. Those of people sum to the total of the
        margins.
    table : pandas.DataFrame
        By column and value: people, their share before and after, smallest and largest weight
        over the mean one.
    effective : float
        People whom an equally weighted sample would need, ``(sum w)^2 / sum w^2`` (Kish).
    rounds : int
        Until no margin was off by 1e-10.
    """

    weights: pd.Series[float]
    table: pd.DataFrame
    effective: float
    rounds: int

    @property
    def _line(self) -> str:
        people = int(self.table["people"].groupby(level=0).sum().iloc[0])
        return f"{people:,} people weighted to margins, worth {self.effective:,.0f} equal ones"


def kish(weights: Array) -> float:
    """Equally weighted units that are worth these: ``(sum w)^2 / sum w^2``.

    >>> kish(np.array([1.0, 1.0, 2.0]))
    2.6666666666666665
    """
    return float(weights.sum() ** 2 / (weights @ weights))


def rake(
    people: pd.DataFrame,
    margins: Margins,
    *,
    weights: str | None = None,
    cluster: str | None = None,
) -> Raked:
    """Weight people so that known margins hold (Deming & Stephan 1940).

    Parameters
    ----------
    people : pandas.DataFrame
        A row per person, or per answer if `cluster` names the column of persons.
    margins : mapping of str to mapping
        ``{"age": {"young": 0.3, "old": 0.7}, "region": {...}}``: shares that sum to 1, or numbers
        of people that sum to one total in every column.
    weights : str, optional
        Column of the weights to begin with; equal ones without.
    cluster : str, optional
        Column of persons, whose rows count once.

    Returns
    -------
    Raked

    Raises
    ------
    DesignError
        For missing columns or values, a value without a share or a share without people, margins
        that no weights can have together.
    UsageError
        For margins that are no shares or numbers, or whose totals differ.

    Notes
    -----
    The weights nearest to the first ones (in Kullback and Leibler's sense) that have the margins.
    What is estimated with them has the variance of what the margins leave unexplained: residuals
    of a weighted regression on their indicators (Deville, Sarndal & Sautory 1993), which is what
    `calibrate` does with ``margins=...``; taken for fixed, raked weights give errors that are
    wrong in either direction.

    Examples
    --------
    >>> import pandas as pd
    >>> people = pd.DataFrame({"age": ["young"] * 3 + ["old"]})
    >>> [round(w, 3) for w in rake(people, {"age": {"young": 0.5, "old": 0.5}}).weights]
    [0.167, 0.167, 0.167, 0.5]
    """
    import pandas as pd

    check_margins(margins)
    columns = [*margins, *([weights] if weights else []), *([cluster] if cluster else [])]
    require(columns, [str(c) for c in people.columns], "among the people")
    who = (
        np.arange(len(people))
        if cluster is None
        else np.unique(people[cluster].astype(str), return_inverse=True)[1]
    )
    first = np.unique(who, return_index=True)[1]
    _, codes, totals = indicators(people, margins, who, first)
    start = np.ones(len(first))
    if weights is not None:
        start = positive(people[weights], weights)[first]
    found, rounds = _fitted(start, codes, totals, list(margins))
    rows = {}
    before, after = start / start.sum(), found / found.sum()
    for (name, levels), code in zip(margins.items(), codes, strict=True):
        for k, level in enumerate(levels):
            own = code == k
            ratio = found[own] / found.mean()
            rows[name, str(level)] = {
                "people": int(own.sum()),
                "before": before[own].sum(),
                "after": after[own].sum(),
                "least": ratio.min(),
                "most": ratio.max(),
            }
    table = pd.DataFrame(rows).T.astype({"people": int}).rename_axis(["column", "value"])
    return Raked(pd.Series(found[who], people.index, name="weight"), table, kish(found), rounds)


def check_margins(margins: Any) -> None:
    """Raise `UsageError` for margins that are none."""
    if not isinstance(margins, Mapping) or not margins:
        raise UsageError(
            f"margins={margins!r}: give what is known of the population by column, as "
            "{'age': {'young': 0.3, 'old': 0.7}}"
        )
    totals = {}
    for name, levels in margins.items():
        values = list(levels.values()) if isinstance(levels, Mapping) else []
        if len(values) < 2 or not all(
            isinstance(v, Real) and 0 < float(v) < np.inf for v in values
        ):
            raise UsageError(
                f"margins of {name!r}: give at least two values, each with a share or a number "
                "of people above zero"
            )
        totals[name] = float(sum(values))
    one = next(iter(totals.values()))
    for name, total in totals.items():
        if abs(total - one) > _AGREE * one:
            raise UsageError(
                f"margins of {name!r} sum to {total:g}, those of {next(iter(totals))!r} to "
                f"{one:g}: all have to be of one population"
            )
    if one <= 1.5 and abs(one - 1) > _AGREE:
        raise UsageError(f"shares of margins sum to {one:g}, not to 1: nothing is renormalised")


def positive(values: Any, name: str) -> Array:
    """Weights as numbers above zero.

    Raises
    ------
    DesignError
        For anything else, with the row.
    """
    if values.dtype.kind not in "fiu":
        raise DesignError(f"weights {name!r} hold {values.dtype}, not numbers")
    found = values.to_numpy(np.float64)
    bad = np.flatnonzero(~((found > 0) & np.isfinite(found)))
    if bad.size:
        raise DesignError(
            f"weights {name!r}: {bad.size} are not above zero or missing (row {int(bad[0])}: "
            f"{found[bad[0]]:g}); people who stand for nobody are left out by the caller"
        )
    return np.asarray(found)


def indicators(
    frame: pd.DataFrame, margins: Margins, who: Codes, first: Codes
) -> tuple[Array, list[Codes], list[Array]]:
    """Indicators of all values by person, (n, A); value of each person and totals, by column."""
    blocks, codes, totals = [], [], []
    for name, levels in margins.items():
        known = {str(level): k for k, level in enumerate(levels)}
        if frame[name].isna().any():
            raise DesignError(f"margins: {name!r} is missing for some people")
        said = frame[name].astype(str).to_numpy(object)
        strange = sorted(set(said.tolist()) - set(known))
        if strange:
            raise DesignError(
                f"margins of {name!r} have no share for {strange[0]!r} ({len(strange)} values are "
                "so): name every value that people have"
            )
        own = np.array([known[v] for v in said], np.intp)
        if (own != own[first][who]).any():
            raise DesignError(f"margins: some people have several values of {name!r}")
        code = own[first]
        count = np.bincount(code, minlength=len(known))
        if (count == 0).any():
            lone = list(known)[int(np.argmin(count))]
            raise DesignError(
                f"margins of {name!r}: nobody has {lone!r}, whom no weight can stand for; join it "
                "with a neighbour"
            )
        codes.append(code)
        totals.append(np.array([float(v) for v in levels.values()]))
        blocks.append(np.eye(len(known))[code])
    return np.hstack(blocks), codes, totals


def _fitted(
    start: Array, codes: Sequence[Codes], totals: Sequence[Array], names: list[str]
) -> tuple[Array, int]:
    weight = start / start.sum() * totals[0].sum()
    for turn in range(1, _ROUNDS + 1):
        off = 0.0
        for code, total in zip(codes, totals, strict=True):
            have = np.bincount(code, weight, len(total))
            off = max(off, float(np.abs(have - total).max() / total.sum()))
            weight = weight * (total / have)[code]
        if off < _CLOSE:
            return np.asarray(weight), turn
    raise DesignError(
        f"no weights bring the people to the margins of {', '.join(map(repr, names))} together "
        f"(after {_ROUNDS} rounds one is off by {off:.2g} of the total): some values occur only "
        "together; join neighbours, or leave a margin out"
    )
