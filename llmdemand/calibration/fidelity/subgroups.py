"""Where the LLM is off: differences of shares by groups of respondents."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from llmdemand.calibration.fidelity.differences import difference
from llmdemand.calibration.fidelity.sides import FEW, Sides
from llmdemand.errors import DesignError
from llmdemand.modeling.arrays import Array, Codes

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["compared", "groups_of", "subgroups"]

#: A number of one side, and respondents' contributions to its error.
_Number = tuple[float, Array]
_MANY = 6  # values of a number that are groups of their own


def groups_of(
    frames: tuple[pd.DataFrame, pd.DataFrame],
    names: Sequence[str],
    who: tuple[Codes, Codes],
    size: int,
) -> dict[str, tuple[Array, Array]]:
    """Groups of each column, as 0/1 by respondent on each side.

    Parameters
    ----------
    frames : pair of pandas.DataFrame
        Rows of both sides.
    names : sequence of str
        Columns; numbers with more than six values are cut at the thirds of the humans.
    who : pair of int arrays
        Respondents of the rows.
    size : int
        Respondents of both sides.

    Raises
    ------
    DesignError
        If a respondent is in several groups of a column, or a value is missing.
    """
    found = {}
    for name in names:
        columns = [f[name].to_numpy() for f in frames]
        for side, column in zip(("humans", "beliefs"), frames, strict=True):
            if column[name].isna().any():
                raise DesignError(f"subgroups by {name!r}: the {side} have missing values there")
        for label, inside in _levels(name, columns[0], columns[1]):
            member = []
            for rows, w in zip(inside, who, strict=True):
                count, own = np.bincount(w, minlength=size), np.bincount(w, rows, size)
                if ((own > 0) & (own < count)).any():
                    raise DesignError(
                        f"subgroups by {name!r}: a respondent is {label} in some rows and not in "
                        "others; give columns of what people are"
                    )
                member.append((own > 0).astype(np.float64))
            found[label] = (member[0], member[1])
    return found


def _levels(name: str, own: Any, told: Any) -> Iterator[tuple[str, tuple[Array, Array]]]:
    values = sorted(set(own.tolist()))
    if own.dtype.kind not in "iuf" or len(values) <= _MANY:
        for value in values:
            shown = value if isinstance(value, str) else f"{value:g}"
            yield f"{name} {shown}", (own == value, told == value)
        return
    low, high = np.quantile(own, [1 / 3, 2 / 3])
    yield f"{name} up to {low:.4g}", (own <= low, told <= low)
    yield (
        f"{name} {low:.4g} to {high:.4g}",
        ((own > low) & (own <= high), (told > low) & (told <= high)),
    )
    yield f"{name} above {high:.4g}", (own > high, told > high)


def subgroups(sides: Sides, groups: dict[str, tuple[Array, Array]], alpha: float) -> pd.DataFrame:
    """LLM minus humans in the share of yeses, by group, at the prices of the group's humans.

    Returns
    -------
    pandas.DataFrame
        By group: ``humans, llm, difference, se, lower, upper, p, p_holm, n_humans, n_llm, note``.
        `p` is of no difference; `p_holm` counts that so many groups were looked at (Holm 1979).

    Notes
    -----
    Errors are clustered by respondent, who are compared within persons where they are on both
    sides; prices are held fixed. A group in which the LLM was not asked the humans' prices has no
    difference.
    """
    rows: dict[str, tuple[Sequence[_Number] | None, Sequence[int], str]] = {}
    for label, member in groups.items():
        asked = [a * m[:, None] for a, m in zip(sides.asked, member, strict=True)]
        people = [int(np.sum(a.any(axis=1))) for a in asked]
        count = [a.sum(axis=0) for a in asked]
        used = count[0] > 0
        if min(people) < 2 or (count[1][used] == 0).any():
            rows[label] = None, people, "too few, or the LLM was not asked the humans' prices"
            continue
        mix = count[0][used] / count[0][used].sum()
        numbers = []
        for a, x, n in zip(asked, sides.mean, count, strict=True):
            mean = (a * x).sum(axis=0)[used] / n[used]
            apart = (a[:, used] * (x[:, used] - mean)) @ (mix / n[used])
            numbers.append((float(mean @ mix), apart))
        rows[label] = numbers, people, ""
    return compared(rows, alpha)


def compared(
    groups: Mapping[str, tuple[Sequence[_Number] | None, Sequence[int], str]], alpha: float
) -> pd.DataFrame:
    """Numbers of both sides by group, and their differences: the table of `subgroups`.

    Parameters
    ----------
    groups : mapping of str to (pair of (float, array) or None, pair of int, str)
        By group the number of each side with respondents' contributions to its error, (n,), the
        respondents of each side, and why there are no numbers.
    alpha : float
        One minus the confidence level.
    """
    import pandas as pd
    from scipy import stats

    rows: dict[str, dict[str, Any]] = {}
    for label, (numbers, people, why) in groups.items():
        row: dict[str, Any] = dict.fromkeys(
            ("humans", "llm", "difference", "se", "lower", "upper", "p"), np.nan
        )
        note = why or (f"fewer than {FEW} humans" if people[0] < FEW else "")
        if numbers is not None:
            (own, of_own), (told, of_told) = numbers
            parts = [
                p * np.sqrt(k / (k - 1)) for p, k in zip((of_own, of_told), people, strict=True)
            ]
            df = min(people) - 1
            row |= difference(own, told, parts[1] - parts[0], df, None, alpha)
            gap, se = row["difference"], row["se"]
            row["p"] = float(2 * stats.t.sf(abs(gap) / se, df)) if se > 0 else float(gap == 0)
        rows[label] = row | {"n_humans": people[0], "n_llm": people[1], "note": note}
    table = pd.DataFrame(rows).T.infer_objects()
    table.insert(7, "p_holm", _holm(table["p"].to_numpy(np.float64)))
    return table


def _holm(p: Array) -> Array:
    """p-values that hold for the smallest of several (Holm 1979)."""
    found = np.full(len(p), np.nan)
    known = np.flatnonzero(np.isfinite(p))
    order = known[np.argsort(p[known])]
    steps = p[order] * (len(order) - np.arange(len(order)))
    found[order] = np.minimum(np.maximum.accumulate(steps), 1)
    return found
