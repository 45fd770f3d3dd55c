"""Whether the LLM was asked alike as the humans and as its further respondents."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from llmdemand.errors import DesignError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["COLUMNS", "Asked", "asked_alike"]

#: Columns that say how an answer came about, by what they are.
COLUMNS = {
    "prompt": ("prompt", "variant", "arm", "study_hash", "study"),
    "model": ("model", "snapshot", "backend"),
    "temperature": ("temperature",),
    "measure": ("measure", "reading", "final_reader", "logprobs"),
}
_UNKNOWN = "(not recorded)"
_SHOWN = 3


@dataclass(frozen=True)
class Asked:
    """What the two sides' records say.

    Attributes
    ----------
    verdict : str
        ``holds``, ``in doubt`` or ``not stated``.
    evidence : str
        In words.
    """

    verdict: str
    evidence: str


def asked_alike(humans: pd.DataFrame, pool: pd.DataFrame) -> Asked:
    """Compare the columns that say how the LLM was asked.

    Parameters
    ----------
    humans : pandas.DataFrame
        The LLM's answers as the humans; the humans' own rows where they bring beliefs.
    pool : pandas.DataFrame
        Its answers as further respondents.

    Raises
    ------
    DesignError
        If a column has no value in common: the difference of the two sides is that of two
        questions, and no correction removes it.

    Examples
    --------
    >>> import pandas as pd
    >>> one, other = pd.DataFrame({"model": ["a"]}), pd.DataFrame({"model": ["a", "b"]})
    >>> asked_alike(one, other).evidence
    "model: 100 % 'a' as the humans, 50 % 'a', 50 % 'b' as further respondents"
    """
    alike, odd = [], []
    for what, columns in COLUMNS.items():
        for name in columns:
            if name not in humans.columns or name not in pool.columns:
                continue
            own, other = (_shares(side[name]) for side in (humans, pool))
            label = name if name == what else f"{what} ({name})"
            if not set(own) & set(other):
                raise DesignError(
                    f"the LLM was asked differently as the humans and as further respondents: "
                    f"{label} is {_said(own)} for the humans and {_said(other)} for the others. "
                    "Their beliefs differ by that, not by chance: ask both sides alike, or leave "
                    "the column out if it means something else"
                )
            if _differ(own, other, len(humans), len(pool)):
                odd.append(
                    f"{label}: {_said(own)} as the humans, {_said(other)} as further respondents"
                )
            else:
                alike.append(label)
    if odd:
        return Asked("in doubt", "; ".join(odd))
    if not alike:
        named = ", ".join(c[0] for c in COLUMNS.values())
        return Asked("not stated", f"no column on both sides says it ({named})")
    return Asked("holds", f"recorded alike: {', '.join(alike)}")


def _shares(values: pd.Series[str]) -> dict[str, float]:
    known = values.astype(object).where(values.notna(), _UNKNOWN).astype(str)
    return {str(k): float(v) for k, v in known.value_counts(normalize=True).items()}


def _said(shares: dict[str, float]) -> str:
    shown = [f"{100 * v:.3g} % {k!r}" for k, v in list(shares.items())[:_SHOWN]]
    return ", ".join(shown) + (", ..." if len(shares) > _SHOWN else "")


def _differ(own: dict[str, float], other: dict[str, float], n: int, m: int) -> bool:
    """Values of one side alone, or shares that differ by more than chance."""
    if set(own) != set(other):
        return True
    gaps = np.array([own[k] - other[k] for k in own])
    pooled = np.array([(n * own[k] + m * other[k]) / (n + m) for k in own])
    error = np.sqrt(pooled * (1 - pooled) * (1 / n + 1 / m))
    return bool((np.abs(gaps) > np.maximum(4 * error, 0.02)).any())
