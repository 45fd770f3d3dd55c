"""The report's tables: cells as text to read, full numbers to compute with, files of both."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from llmdemand.core.panel import Panel
from llmdemand.core.shards.shards import totalled
from llmdemand.core.sheets import write_csv
from llmdemand.reporting.measures.targets import Target
from llmdemand.reporting.tables import frames
from llmdemand.reporting.tables.cells import asked_at, number
from llmdemand.reporting.tables.people import people_tables
from llmdemand.reporting.tables.table import Table, render, write_tables

if TYPE_CHECKING:
    from llmdemand.reporting.findings import Findings
    from llmdemand.reporting.measures.needed import RunsNeeded

__all__ = ["all_tables", "is_published", "label", "save_tables"]


def label(report: Findings) -> str:
    """What kind of demand the report is about."""
    own, study = report.panel.provenance.get("backend") == "synthetic", report.panel.study
    found = "reconstruction" if own else study.label
    if study.measure == "logprob":
        return found
    return f"{found}, measure: {study.measure}" if found else f"measure: {study.measure}"


def is_published(report: Findings) -> bool:
    """Whether this is the known-truth replay of the published study."""
    backend = report.panel.provenance.get("backend")
    return backend == "synthetic" and report.panel.study.name == "pampers"


def _changed(panel: Panel) -> int:
    return int(panel.frame["mismatch"].astype("boolean").fillna(False).sum())


def all_tables(report: Findings, cost: float | None = None) -> tuple[Table, ...]:
    """Every table for which the report has the parts, in the order in which they are read.

    Parameters
    ----------
    report : Report
        What is shown.
    cost : float, optional
        Unit cost, for the price of the highest profit; the report's own by default.
    """
    problems = tuple(report.problems)
    quality = pd.DataFrame([{**vars(report.quality), **report.quality.statuses}])
    quality = quality.drop(columns=["statuses", "shift"]).assign(**vars(report.quality.shift))
    tables = [Table("quality", "Data quality", frames.quality_table(report), quality, problems)]
    if report.selection is not None and len(report.selection) > 1:
        tables.append(_selection(report))
    if totalled(_changed, report.panel):
        tables.append(_switches(report))
    if report.demands:
        tables += _demand_tables(report, cost)
    if report.precision is not None:
        tables.append(_precision(report))
    if (needs := frames.needs(report)) is not None:
        tables += _needed(report, needs)
    if report.prediction is not None:
        tables += _prediction(report)
    if report.variance is not None:
        tables += _variance(report)
    if report.people is not None:
        tables += people_tables(report.people)
    return tuple(tables)


def save_tables(report: Findings, folder: Path) -> None:
    """Write every table: CSV with full numbers, markdown and LaTeX to read, all in tables.md.

    Besides, ``reach.csv`` and ``calibration.csv`` hold the curves of the figures.
    """
    tables = all_tables(report)
    write_tables(tables, folder)
    curves = report.needed if report.needed is not None else report.precision
    if curves is not None:
        write_csv(curves.reach, folder / "reach.csv")
    if report.prediction is not None:
        write_csv(report.prediction.calibration, folder / "calibration.csv")
    text = "\n\n".join(render(table, "markdown") for table in tables)
    (folder / "tables.md").write_text(text + "\n", encoding="utf-8")


def _selection(report: Findings) -> Table:
    assert report.selection is not None
    note = (
        "share: of the focal alternative among the final choices of these answers, and among those "
        "of all others; p: that the two are equal (Fisher; a score test where weights differ). "
        "Where they differ, leaving the status out selects on the choice. price coef.: from all "
        "answers that enter with these, and without them. low_mass is known before the pivot is "
        "drawn: its belief is unbiased."
    )
    return Table(
        "selection",
        "What leaving answers out would select",
        frames.selection_table(report),
        report.selection.reset_index(),
        (note,),
    )


def _switches(report: Findings) -> Table:
    return Table(
        "switches",
        "What answers say first (rows) and choose in the end (columns)",
        frames.switches_table(report),
        frames.switches(report).reset_index(names="at_pivot"),
        ("Counts of answers; off the diagonal they change their mind, or cannot be read.",),
    )


def _demand_tables(report: Findings, cost: float | None) -> list[Table]:
    estimates = report.estimates().reset_index()
    fits = tuple(report.demands)
    terms = pd.concat(
        pd.DataFrame({"outcome": d.outcome, "estimate": d.params, "se": d.bse}) for d in fits
    )
    terms = terms.rename_axis("term").reset_index()
    named = "; ".join(f"{r['outcome']} {r['covariance']}" for _, r in estimates.iterrows())
    pricing = report.pricing(cost)
    unit = report.panel.study.unit
    return [
        Table(
            "estimates",
            "Demand from all usable runs",
            frames.estimates_table(report),
            estimates,
            (
                f"price coef.: change in log-odds per unit of price ({unit}). Covariance: {named}.",
                *_sentences(report.choice.notes if report.choice is not None else ()),
            ),
        ),
        Table(
            "regression",
            "Demand models, standard errors in brackets",
            frames.regression_table(report),
            terms,
            (),
            fits,
        ),
        Table(
            "pricing",
            "Elasticities and prices, with 95 % intervals",
            frames.pricing_table(report, cost),
            pricing,
            _pricing_notes(pricing),
        ),
    ]


def _sentences(notes: Sequence[str]) -> list[str]:
    """Notes with a capital letter and a full stop."""
    return [f"{note[:1].upper()}{note[1:].removesuffix('.')}." for note in notes]


def _pricing_notes(pricing: pd.DataFrame) -> tuple[str, ...]:
    """Why a number is missing or an extrapolation; what holds at it is in the numbers' notes."""
    notes = []
    for row in pricing.to_dict("records"):
        told = [n for n in str(row["note"]).split("; ") if n and not n.startswith("at ")]
        if told:
            notes.append(f"{row['outcome']}, {asked_at(row['quantity'], row['at'])}: {told[0]}")
            notes[-1] = "; ".join([notes[-1], *told[1:]]) + "."
    return tuple(notes)


def _precision(report: Findings) -> Table:
    found = report.precision
    assert found is not None
    notes = [
        "price coef.: median over the draws with an estimate. SE: mean over them, by the model "
        "(inverse information) and robust (HC1). spread: standard deviation over draws. bias, "
        "RMSE: against the estimate from all runs. coverage: share of draws whose robust 95 % "
        "interval holds that estimate; within: share of draws within "
        f"{100 * found.tolerance:g} % of it. separated: share of draws without an estimate; they "
        "are misses, and enter no average. log score: of a held-out choice.",
        *found.notes,
    ]
    title = f"Precision by runs per cell, {found.replications} draws"
    return Table("precision", title, frames.precision_table(report), found.table, tuple(notes))


def _needed(report: Findings, found: RunsNeeded) -> list[Table]:
    published = is_published(report)
    aim = Target(found.target, found.at).label
    notes = [
        "Runs per cell; in brackets what Monte Carlo error leaves open. one-run SE: mean over "
        "the draws of one run per cell that have an estimate."
    ]
    if np.isfinite(found.ratio):
        notes.append(f"Choice needs {found.ratio:.3g} times the runs of belief.")
    notes += _sentences(found.notes)
    if published:
        notes.append(
            "Published: arXiv 2512.23184, GPT-4o, no result of this package. The published SE of "
            "choice, 138.090, is in our reading where an optimiser stopped on separated data, on "
            "which another one stops elsewhere."
        )
    title = (
        f"Runs needed for {aim} within {100 * found.tolerance:g} % at {100 * found.confidence:g} %"
    )
    shown = frames.needed_table(report, published=published)
    tables = [
        Table(
            "runs_needed",
            title,
            shown,
            found.table.rename_axis("outcome").reset_index(),
            tuple(notes),
        )
    ]
    if found.cost is not None:
        numbers = found.cost.rename_axis("outcome").reset_index()
        tables.append(
            Table("cost", "What the runs needed cost", frames.cost_table(report), numbers)
        )
    return tables


def _prediction(report: Findings) -> list[Table]:
    found = report.prediction
    assert found is not None
    best = found.best
    notes = (
        f"{found.replications} draws; in brackets Monte Carlo standard errors. A constant share "
        f"has log score {number(best['constant'])}, the best function of price "
        f"{number(best['log_score'])}; attainable: share of the way between them. fitted: share "
        "of draws with an estimate; the others are in no score of their row, so rows with less "
        "than 100 % are those of luckier draws. RMSE: of the curve against observed shares, which "
        "are noisy themselves.",
        *_sentences(found.notes),
    )
    aim = found.scored_on
    paired = ("Over the draws in which both have an estimate; in brackets Monte Carlo SEs.",)
    return [
        Table(
            "prediction",
            f"Prediction of {aim}",
            frames.prediction_table(report),
            found.table,
            notes,
        ),
        Table(
            "differences",
            f"Paired differences in the prediction of {aim}",
            frames.differences_table(report),
            found.differences,
            paired,
        ),
    ]


def _variance(report: Findings) -> list[Table]:
    found = report.variance
    assert found is not None
    notes = tuple(_sentences(found.notes))
    if not np.isnan(found.worth):
        told = found.worth_text[0].upper() + found.worth_text[1:]
        worth = f"{told}. The intra-cell correlation is {number(found.icc)}."
        notes = (worth, *notes)
    return [
        Table(
            "worth",
            "What a belief run is worth, and fit of the curves to mean choices",
            frames.worth_table(report),
            frames.by_outcome(found.fit),
            notes,
        ),
        Table(
            "variance",
            "Variance within cells by price",
            frames.variance_table(report),
            found.by_price,
            ("within share: part of the variance that is sampling of an answer; ICC: the rest.",),
        ),
    ]
