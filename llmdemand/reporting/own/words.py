"""A report's quantities as tables to read, as the numbers read first, and in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from llmdemand.modeling.quantities.quantity import Quantity
from llmdemand.reporting.own.answers import Answers
from llmdemand.reporting.tables.cells import percent, short_span
from llmdemand.reporting.tables.table import Table

if TYPE_CHECKING:
    import pandas as pd

    from llmdemand.modeling.models.results import LogitResults

__all__ = ["cards_of", "coefficients", "table_of", "verdict_of"]

_TITLES = {
    "shares": "Shares",
    "elasticity": "Price elasticities of shares: own and cross",
    "willingness_to_pay": "Willingness to pay",
    "indifference_price": "Indifference price: half buy there",
    "optimal_price": "Price of the highest profit",
}
Labels = Mapping[str, str]


def table_of(name: str, found: Quantity, labels: Labels) -> Table:
    """A quantity as a table: pairs of alternatives as a matrix, all else row by row."""
    numbers = found.to_frame()
    notes: tuple[str, ...] = (f"average: {found.rule}", f"interval: {found.ci}")
    title = _TITLES[name] if len(found) > 1 or name != "elasticity" else "Price elasticity"
    title += f" ({found.unit})" if found.unit else ""
    if "rival" in found.keys:
        shown = _matrix(found, labels)
        notes = ("estimate [95 % interval]", *notes)
    else:
        shown = numbers.copy()
        for column in shown.columns:
            if column == "alternative":
                shown[column] = [labels.get(v, v) for v in shown[column]]
            elif shown[column].dtype.kind == "f":
                shown[column] = [f"{v:.5g}" for v in shown[column]]
    return Table(name, title, shown.astype(str), numbers, (*notes, *found.notes))


def _matrix(found: Quantity, labels: Labels) -> pd.DataFrame:
    import pandas as pd

    value = found.matrix()
    cells = [found.matrix(k).to_numpy(float).tolist() for k in ("estimate", "lower", "upper")]
    rows = [
        [labels.get(str(a), str(a)), *map(short_span, *lines)]
        for a, *lines in zip(value.index, *cells, strict=True)
    ]
    heads = [f"price of {labels.get(str(k), str(k))}" for k in value.columns]
    return pd.DataFrame(rows, columns=["share of", *heads])


def coefficients(fit: LogitResults) -> Table:
    """The coefficients, and what they rest on."""
    numbers = fit.tidy().rename_axis("term").reset_index()
    shown = numbers.astype(object)
    for column in numbers.columns[1:]:
        shown[column] = [f"{v:.5g}" for v in numbers[column]]
    return Table("coefficients", "Coefficients", shown, numbers, tuple(fit.summary().above))


def _rows(found: Quantity | None, **wanted: Any) -> list[dict[Any, Any]]:
    if found is None:
        return []
    rows: list[dict[Any, Any]] = found.table.to_dict("records")
    return [r for r in rows if all(r.get(k, v) == v for k, v in wanted.items())]


def _own_elasticity(found: Answers, alternative: str) -> list[dict[Any, Any]]:
    rows = _rows(found.quantities.get("elasticity"), alternative=alternative)
    return [r for r in rows if r.get("rival", alternative) == alternative]


def cards_of(found: Answers, labels: Labels, unit: str, focal: str | None) -> list[dict[str, str]]:
    """Numbers that are read first, of the reader's own alternative; of the first one without."""
    own = focal or found.own[0]
    name, cards = labels.get(own, own), []
    for row in _rows(found.quantities.get("shares"), alternative=own)[:1]:
        note = f"{percent(row['lower'])} to {percent(row['upper'])}, as in the data"
        cards.append({"name": f"Share of {name}", "value": percent(row["estimate"]), "note": note})
    for row in _own_elasticity(found, own)[:1]:
        note = f"{row['lower']:.3g} to {row['upper']:.3g}, % per %"
        value = f"{row['estimate']:.3g}"
        cards.append({"name": f"Own-price elasticity of {name}", "value": value, "note": note})
    for row in _rows(found.quantities.get("optimal_price"), alternative=own)[:1]:
        # The simulator's best price is that of one scenario, and differs.
        beside = "; the others' prices as in the data" if len(found.own) > 1 else ", over the data"
        note = f"{row['lower']:.4g} to {row['upper']:.4g} {unit}{beside}"
        value = f"{row['estimate']:.4g}"
        cards.append({"name": f"Best price of {name}", "value": value, "note": note})
    return cards


def verdict_of(
    found: Answers, labels: Labels, unit: str, cost: float | None, focal: str | None
) -> str:
    """The answer in words."""
    said = []
    for own in [focal] if focal is not None else found.own:
        # A number alone would read as one of the sentence's own.
        name = labels.get(own, f"alternative {own}" if str(own).isdecimal() else own)
        for row in _own_elasticity(found, own)[:1]:
            e = row["estimate"]
            if e >= 0:
                said.append(
                    f"Demand for {name} does not fall with its price (elasticity {e:.3g}, "
                    f"{row['lower']:.3g} to {row['upper']:.3g})."
                )
                continue
            sure = "" if row["upper"] < 0 else "; zero is not ruled out"
            said.append(
                f"A price 1 % higher costs {name} {-e:.3g} % of its share "
                f"({-row['upper']:.3g} to {-row['lower']:.3g} %{sure})."
            )
        for row in _rows(found.quantities.get("optimal_price"), alternative=own)[:1]:
            said.append(
                f"At a unit cost of {cost:g} its best price is {row['estimate']:.4g} {unit} "
                f"({row['lower']:.4g} to {row['upper']:.4g})."
            )
    return " ".join(said) or "No elasticity could be computed: see what is lacking."
