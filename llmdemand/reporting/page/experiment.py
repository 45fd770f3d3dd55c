"""The page of a choice experiment: part-worths, importances, willingness to pay, holdouts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from llmdemand.core.panel import Panel
from llmdemand.modeling.partworths.figure import PARTS
from llmdemand.modeling.partworths.result import PartWorths
from llmdemand.reporting.figures import style
from llmdemand.reporting.page.background import design_facts, prompts, provenance
from llmdemand.reporting.page.html import drawn_part, part, table_part, write
from llmdemand.reporting.tables.cells import number, percent
from llmdemand.reporting.tables.partworths import part_worth_tables
from llmdemand.reporting.tables.table import write_tables

__all__ = ["save_experiment", "write_experiment"]

_TITLES = {
    "part-worths": "Part-worths and importances",
    "worth": "Willingness to pay",
    "holdouts": "Prediction of holdout tasks",
}
# Figures by section: part of the plot, and caption.
_FIGURES = {
    "part-worths": {
        "part-worths": "Utilities of levels with their intervals; of each attribute the mean is 0.",
        "importances": "Range of utility of each attribute, in per cent of the sum of all.",
    },
    "worth": {"worth": "Willingness to pay instead of the first level of each attribute."},
}


def write_experiment(
    found: PartWorths, panel: Panel, path: str | Path, *, command: str = ""
) -> None:
    """Write one self-contained page on a choice experiment.

    Parameters
    ----------
    found : PartWorths
        What `llmdemand.conjoint` made of the panel.
    panel : Panel
        Its runs.
    path : path
        The file; its folder is made.
    command : str
        The command that reproduces the page.

    Raises
    ------
    UsageError
        If the path is a folder, or its folder a file.
    """
    study = panel.study
    facts, settings = provenance(panel)
    tables = part_worth_tables(found)
    parts = [
        part("answer"),
        part("design"),
        *(
            part(
                name,
                _TITLES[name],
                tables=[table_part(t) for t in some],
                figures=[
                    drawn_part(_image(found, figure, "svg"), caption)
                    for figure, caption in _FIGURES.get(name, {}).items()
                ],
            )
            for name, some in tables.items()
        ),
        part("provenance"),
    ]
    section = {
        "name": study.title or study.name,
        "label": "reconstruction" if found.truth is not None else study.label,
        "question": "What are the levels of each attribute worth?",
        "model": str(panel.provenance.get("model") or "a language model"),
        "verdict": _verdict(found),
        "problems": found.notes,
        "tiles": _tiles(found),
        "description": study.description,
        "facts": design_facts(panel),
        "prompts": prompts(panel)[:1],
        "provenance": facts,
        "settings": settings,
        "parts": parts,
    }
    title = f"Choice experiment: {study.title or study.name}"
    write(path, title=title, sections=[section], command=command)


def save_experiment(found: PartWorths, folder: Path) -> None:
    """Write ``tables/`` (CSV, markdown, LaTeX) and ``figures/`` (SVG, PNG)."""
    write_tables(
        (table for some in part_worth_tables(found).values() for table in some), folder / "tables"
    )
    drawn = [part for part in PARTS if part != "worth" or found.worth is not None]
    style.write_figures(drawn, folder / "figures", lambda name, kind: _image(found, name, kind))


def _image(found: PartWorths, part: str, kind: str) -> bytes:
    from matplotlib import pyplot as plt

    figure = found.plot(part)
    drawn = style.image(figure.axes[0], part, kind)
    plt.close(figure)
    return drawn


def _verdict(found: PartWorths) -> str:
    """What matters most, and what it is worth, in words."""
    table = found.importances.table.sort_values("estimate", ascending=False, kind="stable")
    first = table.to_dict("records")[0]
    said = [
        f"By {found.fit.outcome}, {first['attribute']} matters most: {first['estimate']:.0f} % of "
        f"the sum of the ranges of utility ({first['lower']:.0f} to {first['upper']:.0f} %)."
    ]
    if found.worth is not None:
        rows = found.worth.table.to_dict("records")
        best = max(rows, key=lambda row: abs(row["estimate"]))
        said.append(
            f"The largest worth in money is that of {best['attribute']} {best['level']}: "
            f"{best['estimate']:.3g} {found.worth.unit} ({best['lower']:.3g} to "
            f"{best['upper']:.3g})."
        )
    return " ".join(said)


def _tiles(found: PartWorths) -> list[dict[str, str]]:
    """The numbers that people look for first."""
    tiles = [
        {
            "name": f"Importance of {row['attribute']}",
            "value": f"{row['estimate']:.0f} %",
            "note": f"{row['lower']:.0f} to {row['upper']:.0f} %",
        }
        for row in found.importances.table.to_dict("records")
    ]
    if found.holdouts is not None:
        ceiling: Any = found.holdouts.table["hit_rate"]["ceiling"]
        tiles.append(
            {
                "name": "Holdout hit rate",
                "value": percent(found.holdouts.hit_rate),
                "note": f"at best {percent(ceiling)}; log-loss {number(found.holdouts.log_loss)}",
            }
        )
    return tiles
