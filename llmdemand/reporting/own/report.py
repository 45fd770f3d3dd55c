"""The demand report: from a fit to an answer, tables and a page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmdemand.core.line import OneLine
from llmdemand.core.sheets import write_xlsx
from llmdemand.errors import MissingExtra, UsageError
from llmdemand.modeling.quantities.quantity import Quantity
from llmdemand.reporting.own.answers import Answers, answers
from llmdemand.reporting.own.words import cards_of, coefficients, table_of, verdict_of
from llmdemand.reporting.page.demand import write_demand
from llmdemand.reporting.tables.table import Table, write_tables

if TYPE_CHECKING:
    from llmdemand.modeling.models.results import LogitResults

__all__ = ["DemandReport", "demand_report"]


@dataclass(frozen=True, repr=False)
class DemandReport(OneLine):
    """What a fit says of demand.

    Attributes
    ----------
    fit : LogitResults
        What was fitted.
    answers : Answers
        Shares, elasticities, willingness to pay, best prices, and what is lacking.
    title : str
        Of the page.
    price, unit : str
        What the price column is called, and the unit of prices.
    cost : float or None
        Unit cost.
    focal : str or None
        The reader's own alternative.
    labels : mapping
        What alternatives are called, by id.
    """

    fit: LogitResults
    answers: Answers
    title: str
    price: str = "price"
    unit: str = "units of price"
    cost: float | None = None
    focal: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)

    @property
    def quantities(self) -> dict[str, Quantity]:
        """The quantities by name."""
        return self.answers.quantities

    @property
    def tables(self) -> tuple[Table, ...]:
        """Every table of the report: cells to read, and all digits."""
        made = [table_of(name, q, self.labels) for name, q in self.quantities.items()]
        return (*made, coefficients(self.fit))

    def verdict(self) -> str:
        """The answer in words."""
        return verdict_of(self.answers, self.labels, self.unit, self.cost, self.focal)

    @property
    def _line(self) -> str:
        return f"demand report of {self.fit.kind.lower()}, {', '.join(self.quantities)}"

    def summary(self) -> str:
        """The fit, then each quantity, as text."""
        parts = [self.fit.summary().to_text(), *(q.summary() for q in self.quantities.values())]
        return "\n\n".join([self.verdict(), *parts, *(f"note: {n}" for n in self.answers.lacking)])

    def __str__(self) -> str:
        return self.summary()

    def save(self, folder: str | Path, *, command: str = "") -> str:
        """Write ``report.html``, ``tables/`` (CSV, markdown, LaTeX) and ``tables.xlsx``.

        Parameters
        ----------
        folder : path
            Made if it is missing.
        command : str
            What made it, for the page.

        Returns
        -------
        str
            What could not be written and why, such as the workbook without openpyxl; or nothing.

        Raises
        ------
        UsageError
            If the folder is a file.
        """
        folder = Path(folder)
        if any(p.is_file() for p in (folder, *folder.parents)):
            raise UsageError(f"{folder} is a file, or lies in one: give a folder")
        write_tables(self.tables, folder / "tables")
        self.to_html(folder / "report.html", command=command)
        try:
            write_xlsx({t.name: t.numbers for t in self.tables}, folder / "tables.xlsx")
        except MissingExtra as error:
            return str(error)
        return ""

    def to_html(self, path: str | Path, *, command: str = "") -> None:
        """Write one self-contained page: the answer, the market simulator, the tables.

        Parameters
        ----------
        path : path
            The file; its folder is made.
        command : str
            What made it.
        """
        market: dict[str, Any] = {"labels": self.labels, "unit": self.unit, "price": self.price}
        write_demand(
            self.fit,
            path,
            self.tables,
            title=self.title,
            verdict=self.verdict(),
            cards=cards_of(self.answers, self.labels, self.unit, self.focal),
            problems=(*self.answers.beyond, *self.answers.lacking),
            command=command,
            cost=self.cost,
            alternative=self.focal,
            **market,
        )


def demand_report(
    fit: LogitResults,
    *,
    price: str = "price",
    cost: float | None = None,
    alternative: str | None = None,
    labels: Mapping[str, str] | None = None,
    unit: str | None = None,
    title: str = "",
) -> DemandReport:
    """A demand report on any fit: scanner data, a conjoint experiment, a survey.

    No language model is asked.

    Parameters
    ----------
    fit : LogitResults
        A logit, fractional, conditional, multinomial, nested, mixed or latent class logit,
        fitted with a formula that has a price.
    price : str
        What the price column is called.
    cost : float, optional
        Unit cost: with it the report says the price of the highest profit, of each alternative
        by itself, rivals' prices as in the sample.
    alternative : str, optional
        Yours; all are shown without it.
    labels : mapping, optional
        What alternatives are called, by id.
    unit : str, optional
        Of prices, such as ``dollars``.
    title : str
        Of the page.

    Returns
    -------
    DemandReport
        It prints, and has ``save(folder)``, ``to_html(path)``, ``tables`` and ``quantities``.

    Raises
    ------
    DesignError
        For a fit without a price, a separated one, and one from arrays.
    UsageError
        For an alternative that has no price.

    Examples
    --------
    >>> import pandas as pd
    >>> import llmdemand as ld
    >>> df = pd.DataFrame({"price": [1, 2, 3, 4] * 2, "buy": [1, 1, 0, 0, 1, 0, 1, 0]})
    >>> report = demand_report(ld.logit("buy ~ price", df), cost=1)
    >>> list(report.quantities)
    ['shares', 'elasticity', 'indifference_price', 'optimal_price']
    >>> round(float(report.quantities["elasticity"]), 3)
    -1.183
    """
    own = alternative or getattr(fit, "alternative", None)
    found = answers(fit, price=price, unit=unit, cost=cost, focal=own)
    named = dict(labels or {})
    whose = (
        named.get(own, own) if own is not None else ", ".join(named.get(a, a) for a in found.own)
    )
    return DemandReport(
        fit,
        found,
        title or f"Demand for {whose}",
        price,
        unit or str(getattr(fit, "unit", "units of price")),
        cost,
        own,
        named,
    )
