"""A number of humans and of the LLM: their difference, with an honest error."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from llmdemand.errors import DesignError
from llmdemand.modeling.arrays import Array, Codes

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["difference", "shares"]


def difference(
    human: float, llm: float, apart: Array, df: float, margin: float | None, alpha: float
) -> dict[str, Any]:
    """Difference, interval, and the two one-sided tests."""
    from scipy import stats

    gap, se = llm - human, float(np.sqrt(apart @ apart))
    half = float(stats.t.ppf(1 - alpha / 2, df)) * se
    row: dict[str, Any] = {
        "humans": human,
        "llm": llm,
        "difference": gap,
        "se": se,
        "lower": gap - half,
        "upper": gap + half,
    }
    if margin is not None:
        p = float(stats.t.sf((margin - abs(gap)) / se, df)) if se > 0 else float(abs(gap) >= margin)
        row |= {"margin": margin, "p_equivalence": p, "equivalent": p < alpha}
    return row


def shares(
    frames: tuple[pd.DataFrame, pd.DataFrame],
    columns: tuple[str, str],
    by: str,
    who: tuple[Codes, Codes],
    size: int,
    margin: float | None,
    alpha: float,
) -> pd.DataFrame:
    """Shares at the prices that both sides were asked, or of alternatives, and differences."""
    import pandas as pd

    levels = sorted(set(frames[0][by]) & set(frames[1][by]))
    if not levels:
        raise DesignError(
            f"humans and LLM have no {by!r} in common: shares cannot be compared; ask both the "
            "same prices"
        )
    rows = []
    for level in levels:
        means, parts, people = [], [], []
        for frame, column, codes in zip(frames, columns, who, strict=True):
            at = (frame[by] == level).to_numpy()
            y, c = frame[column].to_numpy(np.float64)[at], codes[at]
            n = len(np.unique(c))
            factor = np.sqrt(n / (n - 1)) if n > 1 else np.nan
            means.append(float(y.mean()))
            people.append(n)
            parts.append(np.bincount(c, (y - y.mean()) / len(y), size) * factor)
        row = difference(
            means[0], means[1], parts[1] - parts[0], max(min(people) - 1, 1), margin, alpha
        )
        rows.append({by: level if isinstance(level, str) else float(level), **row})
    return pd.DataFrame(rows)
