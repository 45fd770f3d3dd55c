"""The page of a demand report on a table of one's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmdemand.errors import DesignError
from llmdemand.reporting.page.file import write_file
from llmdemand.reporting.page.html import table_part
from llmdemand.reporting.page.market import market_of

if TYPE_CHECKING:
    from llmdemand.modeling.models.results import LogitResults
    from llmdemand.reporting.tables.table import Table

__all__ = ["write_demand"]


def write_demand(
    fit: LogitResults,
    path: str | Path,
    tables: Sequence[Table],
    *,
    title: str,
    verdict: str,
    cards: Sequence[Mapping[str, str]],
    problems: Sequence[str] = (),
    command: str = "",
    **market: Any,
) -> None:
    """Write one self-contained page: the answer, the market simulator, the tables.

    Parameters
    ----------
    fit : LogitResults
        What was fitted.
    path : path
        The file; its folder is made.
    tables : sequence of Table
        What stands below.
    title, verdict : str
        Of the page, and what it says first.
    cards : sequence of mapping
        ``name``, ``value`` and ``note`` of the numbers that are read first.
    problems : sequence of str
        What has to be known besides.
    command : str
        What made the page.
    **market
        See `llmdemand.reporting.page.market.market_page`. A fit that has no simulator says why.

    Raises
    ------
    UsageError
        If the path is a folder, or its folder a file.
    """
    part, known = None, list(problems)
    try:
        part, _ = market_of(fit, **market)
    except DesignError as error:
        known.append(f"no market simulator: {error}")
    write_file(
        path,
        "demand.html",
        title=title,
        about=f"{fit.kind} of {fit.outcome}, {fit.nobs:,.12g} observations.",
        verdict=verdict,
        cards=cards,
        problems=known,
        market=part,
        tables=[table_part(t) for t in tables],
        command=command,
    )
