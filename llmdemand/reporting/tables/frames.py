"""The report's tables as data frames of text, one function for each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from llmdemand.core.panel import Panel
from llmdemand.core.questionnaire.measure import MEASURES
from llmdemand.core.shards.shards import totalled
from llmdemand.modeling.tables.etable import etable
from llmdemand.reporting.measures.precision import PUBLISHED
from llmdemand.reporting.measures.selection import MARKED
from llmdemand.reporting.tables.cells import asked_at, estimate, number, percent, short_span, span
from llmdemand.scale.sums import Sums

if TYPE_CHECKING:
    from llmdemand.reporting.findings import Findings
    from llmdemand.reporting.measures.needed import RunsNeeded

__all__ = [
    "by_outcome",
    "cost_table",
    "differences_table",
    "estimates_table",
    "needed_table",
    "needs",
    "precision_table",
    "prediction_table",
    "pricing_table",
    "quality_table",
    "regression_table",
    "selection_table",
    "switches",
    "switches_table",
    "variance_table",
    "worth_table",
]

_UNREAD = "(not read)"
_METRICS = {"log_score": "log score", "brier": "Brier score", "rmse": "RMSE"}


def estimates_table(report: Findings) -> pd.DataFrame:
    """Price sensitivity and elasticity from all usable runs, as text."""
    numbers, rows = report.estimates(), []
    for demand in report.demands:
        row: Any = numbers.loc[demand.outcome]
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


def regression_table(report: Findings) -> pd.DataFrame:
    """Both models side by side, standard errors in brackets, the covariance named."""
    names = [d.outcome for d in report.demands]
    if not names:
        return pd.DataFrame()
    found = etable(*report.demands, names=names, format="frame")
    return found.rename_axis("").reset_index()


def precision_table(report: Findings) -> pd.DataFrame:
    """Both outcomes by number of runs, as text; no rows without a precision."""
    if report.precision is None:
        return pd.DataFrame()
    return pd.DataFrame(
        {
            "outcome": row["outcome"],
            "runs": f"{row['runs']}",
            "price coef.": number(row["median"]),
            "SE model": number(row["se_model"]),
            "SE robust": number(row["se_robust"]),
            "spread": number(row["spread"]),
            "bias": number(row["bias"]),
            "RMSE": number(row["rmse"]),
            "coverage": percent(row["coverage"]),
            "separated": percent(row["separated"]),
            "within": percent(row["within"]),
            "log score": number(row["log_score"]),
        }
        for row in report.precision.table.to_dict("records")
    )


def needs(report: Findings) -> RunsNeeded | None:
    """Runs needed: the report's, or those of its draws of precision."""
    if report.needed is None and report.precision is not None:
        return report.precision.runs_needed()
    return report.needed


def needed_table(report: Findings, *, published: bool = False) -> pd.DataFrame:
    """Runs needed by outcome, as text; with the published figures where asked."""
    if (found := needs(report)) is None:
        return pd.DataFrame()
    lines = []
    for outcome, row in found.table.iterrows():
        line = {"outcome": str(outcome)}
        if np.isnan(found.values[str(outcome)]):
            line["runs needed"] = "no estimate to reach"
        elif np.isnan(row["runs"]):
            line["runs needed"] = f"more than {max(1, found.pool - 1)}"
        else:
            low, high = (f"{v:.0f}" if v == v else "?" for v in (row["lowest"], row["highest"]))
            line["runs needed"] = f"{row['runs']:.0f} ({low} to {high})"
        line["closed form"] = number(row["closed_form"], 0)
        one = _one_run(report, str(outcome))
        line["one-run SE"] = "-" if one is None else number(one["se_model"])
        line["separated"] = "-" if one is None else percent(one["separated"])
        if published:
            se, runs = PUBLISHED[str(outcome)]
            line["published SE"], line["published runs"] = f"{se:.3f}", f"{runs}"
        lines.append(line)
    return pd.DataFrame(lines)


def cost_table(report: Findings) -> pd.DataFrame:
    """What the runs needed cost, as text; no rows where tokens are not counted."""
    cost = None if report.needed is None else report.needed.cost
    if cost is None:
        return pd.DataFrame()
    return pd.DataFrame(
        {
            "outcome": str(outcome),
            "runs": number(row["runs"], 0),
            "answers": number(row["answers"], 0),
            "tokens": number(row["tokens"], 0),
            "US dollars": number(row["usd"], 2),
            "runs by": str(row.get("source", "-")),
        }
        for outcome, row in cost.iterrows()
    )


def prediction_table(report: Findings) -> pd.DataFrame:
    """Predictive scores by runs and outcome, standard errors in brackets, as text."""
    if report.prediction is None:
        return pd.DataFrame()
    return pd.DataFrame(
        {
            "runs": f"{row['runs']}",
            "outcome": row["outcome"],
            **{words: estimate(row[k], row[f"{k}_se"]) for k, words in _METRICS.items()},
            "attainable": percent(row["attainable"]),
            "fitted": percent(row["fitted"]),
        }
        for row in report.prediction.table.to_dict("records")
    )


def differences_table(report: Findings) -> pd.DataFrame:
    """Paired differences of predictive scores, as text."""
    if report.prediction is None:
        return pd.DataFrame()
    return pd.DataFrame(
        {
            "runs": f"{row['runs']}",
            "score": _METRICS[row["metric"]],
            "better": row["better"],
            "worse": row["worse"],
            "by": estimate(row["difference"], row["se"]),
        }
        for row in report.prediction.differences.to_dict("records")
    )


def variance_table(report: Findings) -> pd.DataFrame:
    """Means and variances of belief and choice by price, as text."""
    if report.variance is None:
        return pd.DataFrame()
    return pd.DataFrame(
        {
            "price": f"{row['price']:g}",
            "runs": f"{row['runs']:.0f}",
            "mean choice": number(row["mean_choice"], 3),
            "mean belief": number(row["mean_belief"], 3),
            "var. choice": number(row["var_choice"]),
            "var. belief": number(row["var_belief"]),
            "within share": number(row["within_share"], 3),
            "ICC": number(row["icc"], 3),
        }
        for row in report.variance.by_price.to_dict("records")
    )


def worth_table(report: Findings) -> pd.DataFrame:
    """In-sample fit of both outcomes to the mean choices, as text."""
    if report.variance is None:
        return pd.DataFrame()
    return pd.DataFrame(
        {
            "outcome": row["outcome"],
            "log score": number(row["log_score"]),
            "R2": number(row["r2"], 3),
            "RMSE": number(row["rmse"]),
        }
        for row in by_outcome(report.variance.fit).to_dict("records")
    )


def quality_table(report: Findings) -> pd.DataFrame:
    """Data quality, one line per question, as text."""
    q = report.quality
    statuses = ", ".join(f"{s} {n}" for s, n in q.statuses.items())
    lock = " (position-locked: read no estimate from this)" if q.position_locked else ""
    thoughts = []
    if q.thoughts:
        thoughts.append((f"{q.thoughts} thoughts that were cut", percent(q.thought_cut)))
    measure = report.panel.study.measure
    return pd.DataFrame(
        [
            *([] if measure == "logprob" else [("measure", f"{measure}: {MEASURES[measure]}")]),
            *_final_choices(report),
            ("runs", f"{len(report.panel)}: {statuses}"),
            *thoughts,
            ("readable answers", percent(q.readable)),
            ("decided mass at the pivot", number(q.decided_mass, 3)),
            ("mass outside the listed candidates", number(q.tail_mass, 3)),
            ("order effect (belief when named first minus not)", number(q.order_effect, 3)),
            ("first-named option chosen", percent(q.first_chosen) + lock),
        ],
        columns=["question", "answer"],
    )


def _final_choices(report: Findings) -> list[tuple[str, str]]:
    """What the answers choose in the end, against what their pivot says."""
    q, moved = report.quality, report.quality.shift
    rows = [
        ("answers that change their mind", f"{percent(q.mismatch)} of {q.whole} whole ones"),
        ("whole answers that cannot be read", percent(q.unread)),
    ]
    if not np.isnan(q.final_p):
        p = f"p {_p(q.final_p)} overall, p {_p(q.final_p_cells)} by cell"
        rows.append(("belief at the pivot has the mean of the final choice", p))
    if not np.isnan(moved.share):
        to = "to corrected belief"
        rows += [
            (f"share, from belief {to}", f"{number(moved.plain_share)} to {number(moved.share)}"),
            (
                f"price coef., from belief {to}",
                f"{number(moved.plain_price)} to {number(moved.price)}",
            ),
        ]
    return rows


def switches(report: Findings) -> pd.DataFrame:
    """Answers by what they choose at the pivot (rows) and in the end (columns); counts.

    Answers without a pivot, or whose end chooses nothing that can be read, are ``(not read)``.
    """
    order = [*(a.label for a in report.panel.study.menu), _UNREAD]
    found: pd.DataFrame = totalled(_switches, report.panel)["table"].astype(int)
    return found.reindex(
        index=[x for x in order if x in found.index],
        columns=[x for x in order if x in found.columns],
    )


def _switches(panel: Panel) -> Sums:
    labels = {a.id: a.label for a in panel.study.menu}
    ends = ("choice", "final_choice")
    first, last = (panel.frame[k].astype(object).map(labels).fillna(_UNREAD) for k in ends)
    return Sums(table=pd.crosstab(first, last))


def switches_table(report: Findings) -> pd.DataFrame:
    """The same as text."""
    found = switches(report).map("{:,}".format)
    return found.rename_axis(columns=None).rename_axis("at the pivot").reset_index()


def _p(value: float) -> str:
    if np.isnan(value):
        return "unknown"
    return "< 0.001" if value < 0.001 else f"= {number(value, 3)}"


def selection_table(report: Findings) -> pd.DataFrame:
    """Whether leaving a status out selects on the choice, as text."""
    found = report.selection
    if found is None:
        return pd.DataFrame()
    return pd.DataFrame(
        {
            "status": str(status),
            "runs": f"{row['runs']}",
            "share": f"{percent(row['share'])} of {row['read']}" if row["read"] else "-",
            "other runs": percent(row["others"]),
            "p": "-" if np.isnan(row["p"]) else _p(row["p"]).removeprefix("= "),
            "enters": ("yes, marked" if status in MARKED else "yes") if row["enters"] else "no",
            "price coef. with": number(row["price"]),
            "without": number(row["without"]),
        }
        for status, row in found.to_dict("index").items()
    )


def pricing_table(report: Findings, cost: float | None = None) -> pd.DataFrame:
    """Elasticities, indifference price and best prices of both outcomes, as text.

    Parameters
    ----------
    report : Report
        What is shown.
    cost : float, optional
        Unit cost, for the price of the highest profit; the report's own by default.
    """
    numbers, lines = report.pricing(cost), []
    numbers = numbers.assign(asked=list(map(asked_at, numbers["quantity"], numbers["at"])))
    for asked, part in numbers.groupby("asked", sort=False):
        line = {"quantity": str(asked)}
        for row in part.to_dict("records"):
            line[str(row["outcome"])] = short_span(row["estimate"], row["lower"], row["upper"])
        lines.append({**line, "unit": str(part["unit"].iloc[0])})
    return pd.DataFrame(lines).fillna("-")


def by_outcome(table: pd.DataFrame) -> pd.DataFrame:
    """Outcomes as a column, whether they were the index or not."""
    return table if "outcome" in table else table.rename_axis("outcome").reset_index()


def _one_run(report: Findings, outcome: str) -> Any:
    """The row of one run per cell in the precision table, or None."""
    if report.precision is None:
        return None
    table = report.precision.table
    found = table[(table["outcome"] == outcome) & (table["runs"] == 1)]
    return found.iloc[0] if len(found) else None
