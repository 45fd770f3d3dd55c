"""People alone, for beliefs that come without a panel: page, tables and figures."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from llmdemand.reporting.figures.figures import render
from llmdemand.reporting.figures.people import PEOPLE_FIGURES
from llmdemand.reporting.figures.style import write_figures
from llmdemand.reporting.page.html import figure_part, part, table_part, write
from llmdemand.reporting.people import People
from llmdemand.reporting.tables.cells import number
from llmdemand.reporting.tables.people import people_tables
from llmdemand.reporting.tables.table import write_tables

__all__ = ["save_people", "write_people"]


def write_people(people: People, path: str | Path, *, command: str = "") -> None:
    """Write one self-contained page on people alone, for beliefs that come without a panel.

    Parameters
    ----------
    people : People
        What is shown.
    path : path
        The file; its folder is made.
    command : str
        The command that reproduces the page.

    Raises
    ------
    UsageError
        If the path is a folder, or its folder a file.
    """
    found = people.calibration
    holder = SimpleNamespace(people=people, kept={})
    shown = part(
        "people",
        texts=people.texts,
        tables=[table_part(t) for t in people_tables(people)],
        figures=[figure_part(holder, name) for name in _drawn(holder)],
    )
    t = found.tuning
    row = found.table.to_dict("index")["calibrated"]
    section = {
        "name": "",
        "label": "calibrated",
        "people": True,
        "question": f"What is the {found.target.label} of people?",
        "model": f"{t.humans:,} people and a language model as {t.llm:,} more",
        "verdict": found.verdict(),
        "problems": found.notes,
        "tiles": [
            {
                "name": f"{found.target.label}, calibrated",
                "value": number(row["estimate"]),
                "note": f"{100 * (1 - found.alpha):g} % interval {number(row['lower'])} to "
                f"{number(row['upper'])}",
            },
            {
                "name": "Effective humans",
                "value": f"{t.n_eff:,.0f}",
                "note": f"{t.humans:,} were asked; lambda {t.lam:.2f}, rho {t.rho:.2f}",
            },
        ],
        "parts": [part("answer"), shown],
    }
    write(
        path,
        title=f"Calibrated to people: {found.target.label}",
        sections=[section],
        command=command,
    )


def save_people(people: People, folder: Path) -> None:
    """Write ``tables/`` (CSV, markdown, LaTeX) and ``figures/`` (SVG, PNG) of people alone."""
    write_tables(people_tables(people), folder / "tables")
    holder: Any = SimpleNamespace(people=people, kept={})
    write_figures(_drawn(holder), folder / "figures", partial(render, holder))


def _drawn(holder: Any) -> list[str]:
    """Figures of people for which there are numbers."""
    return [name for name, (_, _, ready) in PEOPLE_FIGURES.items() if ready(holder)]
