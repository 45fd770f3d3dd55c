"""Tables on people, the language model, and both."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from llmdemand.reporting.tables.cells import number, short_span, span
from llmdemand.reporting.tables.fidelity import fidelity_tables
from llmdemand.reporting.tables.table import Table

if TYPE_CHECKING:
    from llmdemand.calibration.calibrated import CalibratedDemand
    from llmdemand.calibration.discrepancy import Discrepancy
    from llmdemand.calibration.sample_plan import SamplePlan
    from llmdemand.reporting.people import People

__all__ = ["people_tables"]


#: How intervals of what the LLM is worth were made.
_INTERVALS = (
    "intervals of rho and effective humans by Fisher's z with a jackknife over respondents, of "
    "lambda by each respondent's influence."
)
_FIXED = (
    "interval of rho by Fisher's z with a jackknife over respondents, of effective humans by each "
    "respondent's influence."
)


def people_tables(people: People) -> list[Table]:
    """Tables on people, in the order in which they are read."""
    found = people.calibration
    tables = [_estimates(found), _tuning(found), _terms(found), _assumptions(found)]
    if people.discrepancy is not None:
        tables += _discrepancy(people.discrepancy)
    if people.plan is not None:
        tables.append(_plan(people.plan))
    return tables


def _estimates(found: CalibratedDemand) -> Table:
    level = f"{100 * (1 - found.alpha):g} % interval"
    shown = pd.DataFrame(
        {
            "estimator": str(name),
            "estimate": number(row["estimate"]),
            "SE": number(row["se"]),
            level: span(row["lower"], row["upper"]),
            "respondents": f"{row['respondents']:,}",
            "what it is": row["note"],
        }
        for name, row in found.table.to_dict("index").items()
    )
    return Table(
        "people",
        f"{found.target.label[0].upper()}{found.target.label[1:]} of people and of the LLM",
        shown,
        found.table.rename_axis("estimator").reset_index(),
        (f"Errors clustered by respondent; {found.ci}.",),
    )


def _tuning(found: CalibratedDemand) -> Table:
    t = found.tuning
    digits = {"lambda": 3, "rho": 3, "n_eff": 0, "humans saved": 0}
    words = {
        "lambda": "lambda, weight on the LLM's correction",
        "rho": "rho, correlation of humans' and LLM's contributions",
        "n_eff": "effective humans",
        "humans saved": "humans saved",
    }
    rows = t.table.to_dict("index")
    shown = pd.DataFrame(
        {
            "": words[str(name)],
            "estimate": number(row["estimate"], digits[str(name)]),
            "interval": span(row["lower"], row["upper"], digits[str(name)]),
        }
        for name, row in rows.items()
    )
    return Table(
        "people_tuning",
        f"What the LLM is worth beside {t.humans:,} humans ({t.llm:,} LLM respondents)",
        shown,
        t.table.rename_axis("quantity").reset_index(),
        (f"lambda {t.rule}; {_INTERVALS if t.rule == 'tuned' else _FIXED}",),
    )


def _terms(found: CalibratedDemand) -> Table:
    rows, numbers = [], []
    for term in found.params.index:
        line = {"term": str(term)}
        for name, fit in found.fits.items():
            b, se = float(fit.params[term]), float(fit.bse[term])
            line[name] = f"{number(b)} ({number(se)})"
            numbers.append({"term": term, "estimator": name, "estimate": b, "se": se})
        rows.append(line)
    return Table(
        "people_terms",
        "Coefficients, standard errors in brackets",
        pd.DataFrame(rows),
        pd.DataFrame(numbers),
    )


def _assumptions(found: Any) -> Table:
    return Table(
        "people_assumptions" if hasattr(found, "tuning") else "discrepancy_assumptions",
        "Assumptions of the calibration: what was checked and what cannot be"
        if hasattr(found, "tuning")
        else "Assumptions of the comparison",
        found.assumptions,
        found.assumptions,
    )


def _discrepancy(found: Discrepancy) -> list[Table]:
    def lines(frame: pd.DataFrame, head: str) -> pd.DataFrame:
        rows = []
        for name, row in frame.to_dict("index").items():
            line = {
                head: str(name),
                "humans": number(row["humans"]),
                "LLM": number(row["llm"]),
                "difference": short_span(row["difference"], row["lower"], row["upper"]),
            }
            if found.margin is not None:
                known = isinstance(row.get("margin"), float) and not np.isnan(row["margin"])
                line["margin"] = number(row["margin"]) if known else "-"
                line["within it, p"] = number(row["p_equivalence"]) if known else "-"
            rows.append(line)
        return pd.DataFrame(rows)

    names = [v if isinstance(v, str) else f"{v:g}" for v in found.curve[found.by]]
    curve = found.curve.assign(**{found.by: names}).set_index(found.by)
    balance = pd.DataFrame(
        {
            "what": str(name),
            "humans": number(row["humans"]),
            "LLM": number(row["llm"]),
            "standardised difference": number(row["standardised_difference"], 2),
            "p": number(row["p"], 3),
        }
        for name, row in found.balance.to_dict("index").items()
    )
    level = f"{100 * (1 - found.alpha):g} % intervals"
    return [
        Table(
            "discrepancy",
            "Heuristic validation: LLM minus humans",
            lines(found.table, "quantity"),
            found.table.rename_axis("quantity").reset_index(),
            (f"{level}, clustered by respondent over both sides.", found.verdict()),
        ),
        Table(
            "discrepancy_shares",
            f"Heuristic validation: shares by {found.by}",
            lines(curve, found.by),
            found.curve,
        ),
        *([] if found.fidelity is None else fidelity_tables(found.fidelity)),
        Table(
            "balance",
            "Balance of the two samples",
            balance,
            found.balance.rename_axis("what").reset_index(),
        ),
        _assumptions(found),
        _licences(found),
    ]


def _licences(found: Discrepancy) -> Table:
    """What was done first, by kind; what was not, and why."""
    table = found.licences.reset_index()
    shown = table.sort_values("done", ascending=False, kind="stable")
    return Table(
        "licences",
        "What was done, and what it licenses (after Hullman et al. 2026)",
        pd.DataFrame(
            {
                "what": shown["what"].str.replace("_", " "),
                "kind": shown["kind"],
                "done": shown["done"],
                "found": shown["found"],
                "licenses": shown["licenses"],
            }
        ),
        table,
        (
            "Heuristic patterns, however good, are for exploring; claims about people need "
            "calibration with human answers.",
        ),
    )


def _plan(found: SamplePlan) -> Table:
    shown = pd.DataFrame(
        {
            "plan": str(name).strip(),
            "rho": number(row["rho"], 3),
            "humans": f"{row['humans']:,}",
            "more LLM respondents": f"{row['llm']:,}",
            "cost": f"{row['cost']:,.2f}",
            "effective humans": number(row["n_eff"], 0),
            "SE": number(row["se"]),
        }
        for name, row in found.table.to_dict("index").items()
    )
    return Table(
        "sample_plan",
        "Whom to ask next",
        shown,
        found.table.rename_axis("plan").reset_index(),
        (found.verdict(),),
    )
