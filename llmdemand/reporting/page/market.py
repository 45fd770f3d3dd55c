"""The market simulator as a part of a page, and as a page of its own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmdemand.errors import DesignError
from llmdemand.reporting.page.file import write_file
from llmdemand.reporting.simulator.embedded import Words, embedded
from llmdemand.reporting.simulator.script import scripted

if TYPE_CHECKING:
    from llmdemand.modeling.models.results import LogitResults
    from llmdemand.reporting.findings import Findings

__all__ = ["market_of", "market_page", "market_part"]


def market_part(report: Findings, id_: str, cost: float | None) -> dict[str, Any] | None:
    """The simulator of a report's first demand that has one, for the template; or None."""
    menu = report.panel.study.menu
    for demand in report.demands:
        words = Words({a.id: a.label for a in menu}, demand.unit, demand.alternative)
        try:
            data = embedded(demand, words, cost=report.cost if cost is None else cost)
        except DesignError:
            continue
        # A binary fit calls all else by one name.
        others = [a.label for a in menu if a.id != demand.alternative]
        data["labels"] = [
            " or ".join(others) if name == "outside" else label
            for name, label in zip(data["names"], data["labels"], strict=True)
        ]
        return _part(data, f"{id_}simulator")
    return None


def _part(data: dict[str, Any], id_: str) -> dict[str, Any]:
    return {
        "id": id_,
        "json": scripted(data),
        "words": "The simulator needs JavaScript; the tables hold the same numbers at the prices "
        "of the study.",
    }


def market_of(
    fit: LogitResults,
    labels: Mapping[str, str] | None = None,
    unit: str | None = None,
    price: str = "price",
    cost: float | None = None,
    alternative: str | None = None,
) -> tuple[dict[str, Any], str]:
    """The simulator of a fit for a template, and what the reader's own alternative is called.

    Parameters and errors are those of `market_page`.
    """
    own = alternative or str(getattr(fit, "alternative", ""))
    words = Words(labels or {}, unit or str(getattr(fit, "unit", "units of price")), own)
    data = embedded(fit, words, price=price, cost=cost)
    return _part(data, "simulator"), str(data["labels"][data["focal"]])


def market_page(
    fit: LogitResults,
    path: str | Path,
    *,
    title: str = "",
    labels: Mapping[str, str] | None = None,
    unit: str | None = None,
    price: str = "price",
    cost: float | None = None,
    alternative: str | None = None,
) -> None:
    """Write one self-contained page that can be asked: a market simulator of a fit.

    Prices, attributes, cost and market size have sliders and fields; shares, volume, revenue and
    profit have 95 % intervals by the delta method; two scenarios stand side by side; the best
    price is that of ``fit.optimal_price``. The page loads nothing and asks no model.

    Parameters
    ----------
    fit : LogitResults
        A logit, conditional, multinomial, nested, mixed or latent class logit, fitted with a
        formula that has a price.
    path : path
        The file; its folder is made.
    title : str
        Of the page.
    labels : mapping, optional
        What alternatives are called, by id.
    unit : str, optional
        Of prices; that of a `Demand` is known.
    price : str
        What the price column is called.
    cost : float, optional
        Unit cost to begin with.
    alternative : str, optional
        Yours; the first that has a price by default.

    Raises
    ------
    DesignError
        For separated fits, fits from arrays, without a price, or with prices that interact.
    UsageError
        If the path is a folder, or its folder a file.

    Examples
    --------
    >>> import tempfile
    >>> import llmdemand as ld
    >>> fit = ld.fit_demand(ld.load_panel("pampers"))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     ld.market_page(fit, Path(folder, "market.html"), cost=18)
    ...     text = Path(folder, "market.html").read_text("utf-8")
    >>> "http://" in text.replace("http://www.w3.org", "")
    False
    """
    part, whose = market_of(fit, labels, unit, price, cost, alternative)
    named = title or f"Demand for {whose}"
    summary = fit.summary().to_html()
    write_file(path, "market.html", title=named, market=part, summary=summary)
