"""What one more run costs, by the runs that are there."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from llmdemand.core.panel import Panel
from llmdemand.core.resources import data_file
from llmdemand.core.shards.shards import AnyPanel, totalled
from llmdemand.errors import UsageError

__all__ = ["RunCost", "run_cost"]


@dataclass(frozen=True)
class RunCost:
    """Mean tokens of one answer of a panel, and their price.

    Attributes
    ----------
    prompt, completion : float
        Tokens read and written per answer, unreadable answers included.
    prices : (float, float) or None
        US dollars per million tokens read and written; None if unknown.
    """

    prompt: float
    completion: float
    prices: tuple[float, float] | None

    @property
    def tokens(self) -> float:
        """Tokens per answer."""
        return self.prompt + self.completion

    @property
    def usd(self) -> float:
        """Dollars per answer; NaN if prices are unknown.

        >>> RunCost(100.0, 10.0, (2.5, 10.0)).usd
        0.00035
        """
        if self.prices is None:
            return math.nan
        return (self.prompt * self.prices[0] + self.completion * self.prices[1]) / 1e6


def run_cost(panel: AnyPanel, prices: Sequence[float] | None = None) -> RunCost | None:
    """Tokens per answer in a panel, and dollars; None where the panel counts no tokens.

    Parameters
    ----------
    panel : Panel or PanelShards
        The runs.
    prices : pair of float, optional
        US dollars per million tokens read and written. By default those of the panel's
        provenance (``usd_per_million_tokens``), else the list prices of its model in
        ``data/prices.toml``.

    Raises
    ------
    UsageError
        For prices that are not two finite numbers of at least zero.
    """
    known = _prices(panel, prices)
    read, written, counted = totalled(_tokens, panel)
    if not counted:
        return None
    read, written = read / counted, written / counted
    return RunCost(float(read), float(written), known)


def _tokens(panel: Panel) -> NDArray[np.float64]:
    """Tokens read and written, and answers, of those that count both."""
    columns = panel.frame[["prompt_tokens", "completion_tokens"]].to_numpy(float, na_value=np.nan)
    counted = columns[np.isfinite(columns).all(axis=1)]
    return np.append(counted.sum(axis=0), len(counted))


def _prices(panel: AnyPanel, prices: Sequence[float] | None) -> tuple[float, float] | None:
    if prices is None:
        prices = panel.provenance.get("usd_per_million_tokens")
    if prices is None:
        return _listed(str(panel.provenance.get("model", "")))
    given = tuple(float(p) for p in prices)
    if len(given) != 2 or not all(p >= 0 and math.isfinite(p) for p in given):
        raise UsageError(
            f"prices={given}: give two numbers that are not negative, dollars per million "
            "tokens read and written"
        )
    return given[0], given[1]


def _listed(model: str) -> tuple[float, float] | None:
    """List prices of a model, dated snapshots included."""
    listed = tomllib.loads(data_file("prices.toml").read_text("utf-8"))["models"]
    for name in sorted(listed, key=len, reverse=True):
        rest = model.removeprefix(name)
        if model.startswith(name) and not rest.strip("-0123456789"):
            read, written = listed[name]
            return float(read), float(written)
    return None
