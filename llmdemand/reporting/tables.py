"""The report's tables, as data frames of text and as files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from llmdemand.reporting.precision import PUBLISHED

if TYPE_CHECKING:
    from llmdemand.reporting.compare import Report

__all__ = [
    "estimates_table",
    "label",
    "needed_table",
    "precision_table",
    "quality_table",
    "save_tables",
]


def label(report: Report) -> str:
    """What kind of demand the report is about."""
    if report.panel.provenance.get("backend") == "synthetic":
        return "reconstruction"
    return report.panel.study.label


def estimates_table(report: Report) -> pd.DataFrame:
    """Price sensitivity and elasticity from all usable runs, as text."""
    rows = []
    for demand in report.demands:
        row: Any = report.estimates().loc[demand.outcome]
        rows.append(
            {
                "outcome": demand.outcome,
                "runs": f"{demand.fit.nobs:.12g}",
                "price coef.": number(row["price_sensitivity"]),
                "SE": number(row["se"]),
                "95 % interval": span(row["lower"], row["upper"]),
                f"elasticity at {row['at_price']:g}": number(row["elasticity"], 2),
                "95 % interval ": span(row["elasticity_lower"], row["elasticity_upper"], 2),
                "covariance": row["covariance"],
            }
        )
    return pd.DataFrame(rows)


def precision_table(report: Report) -> pd.DataFrame:
    """Both outcomes by number of runs, as text."""
    return pd.DataFrame(
        {
            "outcome": row["outcome"],
            "runs": f"{row['runs']}",
            "price coef.": number(row["median"]),
            "SE model": number(row["se_model"]),
            "SE robust": number(row["se_robust"]),
            "spread": number(row["spread"]),
            "separated": percent(row["separated"]),
            "within": percent(row["within"]),
            "log score": number(row["log_score"]),
        }
        for row in report.precision.table.to_dict("records")
    )


def needed_table(report: Report, *, published: bool = False) -> pd.DataFrame:
    """Runs needed by outcome, as text; with the published line where asked."""
    found, table = report.precision, []
    for outcome, row in found.needed.iterrows():
        line = {"outcome": str(outcome)}
        if np.isnan(row["runs"]):
            line["runs needed"] = f"more than {max(1, found.pool - 1)}"
        else:
            low, high = (f"{v:.0f}" if v == v else "?" for v in (row["lowest"], row["highest"]))
            line["runs needed"] = f"{row['runs']:.0f} ({low} to {high})"
        line["closed form"] = (
            f"{row['closed_form']:.0f}" if row["closed_form"] == row["closed_form"] else "-"
        )
        one = found.table[(found.table["outcome"] == outcome) & (found.table["runs"] == 1)]
        line["one-run SE"] = number(one["se_model"].iloc[0]) if len(one) else "-"
        line["separated"] = percent(one["separated"].iloc[0]) if len(one) else "-"
        if published:
            se, runs = PUBLISHED[str(outcome)]
            line["published SE"], line["published"] = f"{se:.3f}", f"{runs}"
        table.append(line)
    return pd.DataFrame(table)


def quality_table(report: Report) -> pd.DataFrame:
    """Data quality, one line per question, as text."""
    q = report.quality
    statuses = ", ".join(f"{s} {n}" for s, n in q.statuses.items())
    lock = " (position-locked: read no estimate from this)" if q.position_locked else ""
    return pd.DataFrame(
        [
            ("runs", f"{len(report.panel)}: {statuses}"),
            ("readable answers", percent(q.readable)),
            ("decided mass at the pivot", number(q.decided_mass, 3)),
            ("mass outside the listed candidates", number(q.tail_mass, 3)),
            (
                "answers that go on to say something else",
                f"{percent(q.mismatch)} of {q.whole} whole ones",
            ),
            ("order effect (belief when named first minus not)", number(q.order_effect, 3)),
            ("first-named option chosen", percent(q.first_chosen) + lock),
        ],
        columns=["question", "answer"],
    )


def save_tables(report: Report, folder: Path) -> None:
    """Write every table as CSV with full numbers, and as markdown to read."""
    folder.mkdir(parents=True, exist_ok=True)
    report.estimates().to_csv(folder / "estimates.csv")
    report.precision.table.to_csv(folder / "precision.csv", index=False)
    report.precision.needed.rename_axis("outcome").to_csv(folder / "runs_needed.csv")
    report.precision.reach.to_csv(folder / "reach.csv", index=False)
    text = "\n\n".join(
        f"## {title}\n\n{markdown(table)}"
        for title, table in (
            ("Data quality", quality_table(report)),
            ("Demand from all usable runs", estimates_table(report)),
            ("Precision by number of runs", precision_table(report)),
            ("Runs needed", needed_table(report)),
        )
    )
    (folder / "tables.md").write_text(text + "\n", encoding="utf-8")


def markdown(table: pd.DataFrame) -> str:
    """A table of text as markdown.

    >>> print(markdown(pd.DataFrame({"a": ["1"], "b": ["x"]})))
    | a | b |
    |---|---|
    | 1 | x |
    """
    head = [list(map(str, table.columns)), ["-" * 3] * table.shape[1]]
    lines = [*head, *table.astype(str).to_numpy().tolist()]
    rule = "|".join(["---"] * table.shape[1])
    return "\n".join(
        f"|{rule}|" if k == 1 else f"| {' | '.join(line)} |" for k, line in enumerate(lines)
    )


def number(value: float, digits: int = 4) -> str:
    """A number for people: fixed digits, ``inf`` where infinite, ``-`` where unknown."""
    if np.isnan(value):
        return "-"
    if np.isinf(value):
        return "inf" if value > 0 else "-inf"
    return f"{value:.{digits}f}"


def span(lower: float, upper: float, digits: int = 4) -> str:
    """An interval for people."""
    return f"{number(lower, digits)}, {number(upper, digits)}"


def percent(value: float) -> str:
    """A share as a percentage."""
    return "-" if np.isnan(value) else f"{100 * value:.1f} %"
