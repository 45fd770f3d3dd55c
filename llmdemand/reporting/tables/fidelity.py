"""Tables on what a mean hides: how a language model differs from people beyond shares."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import pandas as pd

from llmdemand.calibration.fidelity.fidelity import Fidelity
from llmdemand.reporting.tables.cells import number, short_span
from llmdemand.reporting.tables.table import Table

__all__ = ["fidelity_tables"]

_HEAD = "Heuristic validation:"


def fidelity_tables(found: Fidelity) -> list[Table]:
    """Tables of the comparisons that were made; the others say why in the table of licences."""
    return [
        *_spread(found),
        *_counts(found),
        *_groups(found),
        *_individuals(found),
        *_held_out(found),
    ]


def _sides(row: Mapping[Hashable, Any]) -> dict[str, str]:
    return {
        "humans": number(row["humans"]),
        "LLM": number(row["llm"]),
        "difference": short_span(row["difference"], row["lower"], row["upper"]),
    }


def _table(name: str, title: str, rows: Any, numbers: pd.DataFrame, *notes: str) -> Table:
    numbers = numbers.rename_axis(str(numbers.index.name or "what")).reset_index()
    return Table(name, f"{_HEAD} {title}", pd.DataFrame(rows), numbers, notes)


def _spread(found: Fidelity) -> list[Table]:
    if found.spread is None:
        return []
    rows = (
        {
            "how respondents differ": str(name),
            **_sides(row),
            "LLM over humans": short_span(row["ratio"], row["ratio_lower"], row["ratio_upper"]),
        }
        for name, row in found.spread.to_dict("index").items()
    )
    level = f"{100 * (1 - found.alpha):g} % intervals over respondents"
    note = f"{level}. A ratio below 1: respondents of the LLM are more alike than people."
    return [_table("fidelity_spread", "how respondents differ", rows, found.spread, note)]


def _counts(found: Fidelity) -> list[Table]:
    c = found.counts
    if c is None:
        return []
    rows = ({c.what: str(k), **_sides(row)} for k, row in c.table.to_dict("index").items())
    note = (
        f"Shares of {c.humans:,} humans and {c.llm:,} LLM respondents. Energy distance "
        f"{c.distance:.3f}, by chance {c.by_chance:.3f}; p = {c.p:.2g} of one distribution."
    )
    return [_table("fidelity_counts", "respondents by number", rows, c.table, note)]


def _groups(found: Fidelity) -> list[Table]:
    if found.subgroups is None:
        return []
    rows = [
        {
            "group": str(name),
            "people": f"{row['n_humans']:,}",
            **_sides(row),
            "p": number(row["p"], 3),
            "p, so many groups": number(row["p_holm"], 3),
        }
        for name, row in found.subgroups.to_dict("index").items()
    ]
    said = found.subgroups["note"]
    notes = (f"{name}: {note}." for name, note in said[said != ""].items())
    title = f"{found.groups} by group"
    return [_table("fidelity_groups", title, rows, found.subgroups, *notes)]


def _individuals(found: Fidelity) -> list[Table]:
    people = found.individuals
    if people is None:
        return []
    rows = (
        {
            "measure": str(name),
            "LLM": short_span(row["estimate"], row["lower"], row["upper"]),
            "to be held against": number(row["reference"]),
            "which is": row["against"],
        }
        for name, row in people.table.to_dict("index").items()
    )
    again = f" {people.retested:,} pairs of one set met twice." if people.retested else ""
    note = f"{people.respondents:,} people, {people.answers:,} answers.{again}"
    notes = (note, *(f"{n[0].upper()}{n[1:]}." for n in people.notes))
    return [_table("fidelity_individuals", "person by person", rows, people.table, *notes)]


def _held_out(found: Fidelity) -> list[Table]:
    held = found.held_out
    if held is None:
        return []
    what = str(held.prices.index.name or "price")
    errors = (
        {
            "predicted by": str(name),
            "error of shares": short_span(row["rmse"], row["lower"], row["upper"]),
            f"gain over {held.rival}": short_span(
                row["gain"], row["gain_lower"], row["gain_upper"]
            ),
        }
        for name, row in held.table.to_dict("index").items()
    )
    shares = (
        {
            what: str(at) if isinstance(at, str) else f"{at:g}",
            **{str(k): number(v, 3) for k, v in row.items()},
        }
        for at, row in held.prices.to_dict("index").items()
    )
    title = f"each {what} predicted from the others"
    return [
        _table("fidelity_held_out", title, errors, held.table, "Root mean squared errors."),
        _table("fidelity_shares", f"share of each {what}, left out", shares, held.prices),
    ]
