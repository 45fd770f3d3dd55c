"""A calibration and its comparison as plain data, for ``--json``."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from llmdemand.cli.output import records

if TYPE_CHECKING:
    import pandas as pd

    from llmdemand.calibration.fidelity.fidelity import Fidelity
    from llmdemand.reporting.people import People

__all__ = ["plain"]


def plain(people: People) -> dict[str, Any]:
    """Verdict, tables and notes of both."""
    found = people.calibration
    return {
        "verdict": found.verdict(),
        "target": found.target.label,
        "estimates": records(found.table.rename_axis("estimator").reset_index()),
        "tuning": records(found.tuning.table.rename_axis("quantity").reset_index()),
        "coefficients": records(found.tidy().rename_axis("term").reset_index()),
        "assumptions": records(found.assumptions),
        "imbalance_p": found.imbalance,
        "beliefs": {
            "p": found.laws.p,
            "parts": found.laws.parts,
            "table": records(found.laws.table.rename_axis("cell").reset_index()),
        },
        "proxies": None
        if found.proxies is None
        else records(found.proxies.rename_axis("proxy").reset_index()),
        "unseen": None if found.unseen is None else asdict(found.unseen),
        "warnings": list(found.warnings),
        "notes": list(found.notes),
        "discrepancy": None
        if people.discrepancy is None
        else {
            "verdict": people.discrepancy.verdict(),
            "table": records(people.discrepancy.table.rename_axis("quantity").reset_index()),
            "shares": records(people.discrepancy.curve),
            "balance": records(people.discrepancy.balance.rename_axis("what").reset_index()),
            "licences": records(people.discrepancy.licences.reset_index()),
            "heuristic": _heuristic(people.discrepancy.fidelity),
        },
    }


def _heuristic(found: Fidelity | None) -> dict[str, Any] | None:
    """What was compared beyond the mean."""
    if found is None:
        return None
    counts, people = found.counts, found.individuals
    return {
        "spread": _table(found.spread),
        "distribution": None
        if counts is None
        else {
            "counted": counts.what,
            "table": _table(counts.table),
            "energy_distance": counts.distance,
            "by_chance": counts.by_chance,
            "p": counts.p,
        },
        "subgroups": _table(found.subgroups),
        "individuals": None
        if people is None
        else {"respondents": people.respondents, "table": _table(people.table)},
        "held_out": None
        if found.held_out is None
        else {"table": _table(found.held_out.table), "prices": _table(found.held_out.prices)},
        "notes": list(found.notes),
        "not_compared": dict(found.why),
    }


def _table(frame: pd.DataFrame | None) -> Any:
    return None if frame is None else records(frame.rename_axis("what").reset_index())
