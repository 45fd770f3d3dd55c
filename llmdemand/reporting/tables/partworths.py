"""Tables of a choice experiment."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llmdemand.modeling.partworths.result import PartWorths
from llmdemand.modeling.quantities.quantity import Quantity
from llmdemand.reporting.tables.cells import number, percent, span
from llmdemand.reporting.tables.table import Table

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["part_worth_tables"]


def part_worth_tables(found: PartWorths) -> dict[str, list[Table]]:
    """The tables of part-worths by section of the page: ``part-worths, worth, holdouts``."""
    own = [_table("part_worths", "Part-worths, of each attribute with mean 0", found.part_worths)]
    if found.slopes is not None:
        own.append(_table("slopes", "Utility of one unit", found.slopes))
    own.append(_table("importances", "Importances, per cent", found.importances, 1))
    own.append(_tests(found.tests))
    sections = {"part-worths": own}
    if found.worth is not None:
        title = f"Willingness to pay, {found.worth.unit}"
        sections["worth"] = [_table("willingness_to_pay", title, found.worth, 2)]
    if found.holdouts is not None:
        sections["holdouts"] = [_holdouts(found), _shares(found)]
    if found.truth is not None:
        sections["part-worths"].append(_truth(found.truth))
    return sections


def _table(name: str, title: str, found: Quantity, digits: int = 3) -> Table:
    frame = found.table[list(found.keys)].copy()
    rows = found.table
    frame["estimate"] = [number(v, digits) for v in rows["estimate"]]
    frame["SE"] = [number(v, digits) for v in rows["se"]]
    frame["95 % interval"] = [
        span(low, high, digits) for low, high in zip(rows["lower"], rows["upper"], strict=True)
    ]
    frame = frame.rename(columns={"95 % interval": f"{found.ci.split(',')[0]} interval"})
    return Table(name, title, frame, rows, found.notes)


def _tests(tests: pd.DataFrame) -> Table:
    frame = tests.assign(
        statistic=[number(v, 2) for v in tests["statistic"]],
        pvalue=["< 0.0001" if v < 1e-4 else number(v) for v in tests["pvalue"]],
    )
    title = "Are the levels of an attribute worth the same? (Wald tests)"
    return Table("wald_tests", title, frame.rename(columns={"pvalue": "p value"}), tests)


def _holdouts(found: PartWorths) -> Table:
    import pandas as pd

    assert found.holdouts is not None
    numbers = found.holdouts.table.rename_axis("predictor").reset_index()
    words = {
        "model": "part-worths",
        "shares": "mean shares of the other tasks",
        "chance": "equal shares",
        "ceiling": "mean answers to these tasks themselves",
    }
    frame = pd.DataFrame(
        {
            "predicted by": numbers["predictor"].map(words),
            "hit rate": [percent(v) for v in numbers["hit_rate"]],
            "its SE": [percent(v) for v in numbers["hit_rate_se"]],
            "log-loss": [number(v) for v in numbers["log_loss"]],
            "SE": [number(v) for v in numbers["log_loss_se"]],
        }
    )
    return Table("holdouts", "Holdout tasks", frame, numbers, found.holdouts.notes)


def _shares(found: PartWorths) -> Table:
    assert found.holdouts is not None
    numbers = found.holdouts.shares
    frame = numbers.assign(
        predicted=[percent(v) for v in numbers["predicted"]],
        observed=[percent(v) for v in numbers["observed"]],
    )
    return Table("holdout_shares", "Shares in each holdout task", frame, numbers)


def _truth(truth: pd.DataFrame) -> Table:
    words = {k: [number(v, 3) for v in truth[k]] for k in ("estimate", "se", "truth")}
    frame = truth.assign(**words, z=[number(v, 1) for v in truth["z"]])
    return Table(
        "known_truth", "Against the known truth, relative to the first level", frame, truth
    )
