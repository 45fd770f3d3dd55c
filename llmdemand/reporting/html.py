"""The page that people open: one file, no network."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmdemand.reporting import tables
from llmdemand.reporting.figures import FIGURES, render

if TYPE_CHECKING:
    from llmdemand.reporting.compare import Report

__all__ = ["write_page"]


def write_page(parts: Sequence[tuple[Report, str]], path: str | Path, *, command: str = "") -> None:
    """Write one self-contained HTML page with a section per report.

    Parameters
    ----------
    parts : sequence of (Report, str)
        Reports, each with a sentence that says what kind of evidence it is.
    path : path
        The file.
    command : str
        The command that reproduces the page.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    from llmdemand import __version__

    environment = Environment(
        loader=PackageLoader("llmdemand.reporting"), autoescape=True, undefined=StrictUndefined
    )
    page = environment.get_template("report.html").render(
        sections=[_section(report, note) for report, note in parts],
        command=command,
        version=__version__,
    )
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page, encoding="utf-8")


def _section(report: Report, note: str) -> dict[str, Any]:
    study, panel = report.panel.study, report.panel
    cell = study.cells()[0]
    system, user = study.prompt(cell, study.order(cell, 0))
    return {
        "title": study.title or study.name,
        "label": tables.label(report),
        "note": note,
        "description": study.description,
        "verdict": report.verdict(),
        "system": system,
        "user": user,
        "model": panel.provenance.get("model", ""),
        "provenance": panel.provenance,
        "published": panel.provenance.get("backend") == "synthetic",
        "quality": _rows(tables.quality_table(report)),
        "estimates": _rows(tables.estimates_table(report)),
        "precision": _rows(tables.precision_table(report)),
        "needed": _rows(
            tables.needed_table(report, published=panel.provenance.get("backend") == "synthetic")
        ),
        "tolerance": f"{100 * report.precision.tolerance:g} %",
        "confidence": f"{100 * report.precision.confidence:g} %",
        "replications": report.precision.replications,
        "figures": [
            (base64.b64encode(render(report, name, "svg")).decode(), caption)
            for name, (_, caption) in FIGURES.items()
        ],
    }


def _rows(table: Any) -> dict[str, Any]:
    return {"head": list(table.columns), "body": table.to_numpy().tolist()}
