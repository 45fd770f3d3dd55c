"""The page that people open: one file, no network."""

from __future__ import annotations

import base64
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmdemand.core.panel import STATUSES
from llmdemand.reporting.figures.figures import FIGURES, available, render
from llmdemand.reporting.figures.people import PEOPLE_FIGURES
from llmdemand.reporting.page.answers import answers_of
from llmdemand.reporting.page.background import again, design_facts, prompts, provenance, simulate
from llmdemand.reporting.page.decision import first_numbers, further_numbers
from llmdemand.reporting.page.file import write_file
from llmdemand.reporting.page.market import market_part
from llmdemand.reporting.tables import tables
from llmdemand.reporting.tables.cells import percent

if TYPE_CHECKING:
    from llmdemand.belief.tokens import Response
    from llmdemand.reporting.findings import Findings
    from llmdemand.reporting.tables.table import Table

__all__ = [
    "SECTIONS",
    "Row",
    "drawn_part",
    "figure_part",
    "part",
    "table_part",
    "write",
    "write_page",
]

#: The sections of a report, in the order in which they are read.
SECTIONS = {
    "answer": "Question and answer",
    "market": "Market simulator",
    "design": "Design and prompt",
    "quality": "Data quality",
    "demand": "Demand",
    "precision": "Precision by runs",
    "needed": "Runs needed",
    "prediction": "Prediction",
    "worth": "What a belief run is worth",
    "pricing": "Pricing",
    "people": "People",
    "answers": "Answers, token by token",
    "provenance": "Provenance",
}
# Fields of the report that a section stands on, by their names in its problems.
_PARTS = {
    "demand": {"demand from belief": "belief", "demand from choice": "choice"},
    "precision": {"precision": "precision"},
    "needed": {"runs needed": "needed"},
    "prediction": {"prediction": "prediction"},
    "worth": {"what a belief run is worth": "variance"},
}
_PEOPLE = (
    "people people_tuning people_terms people_assumptions "
    "discrepancy discrepancy_shares discrepancy_assumptions licences balance sample_plan "
    "fidelity_spread fidelity_counts fidelity_groups fidelity_individuals fidelity_held_out "
    "fidelity_shares"
).split()
# Sections of tables and figures; what is not named here stands with demand.
_TABLES = {
    "quality": "quality",
    "selection": "quality",
    "switches": "quality",
    "precision": "precision",
    "runs_needed": "needed",
    "cost": "needed",
    "prediction": "prediction",
    "differences": "prediction",
    "worth": "worth",
    "variance": "worth",
    "pricing": "pricing",
    **dict.fromkeys(_PEOPLE, "people"),
}
_FIGURES = {
    "precision": "precision",
    "precision-choice": "precision",
    "runs-needed": "needed",
    "prediction": "prediction",
    "calibration": "prediction",
    "elasticity": "pricing",
    "round-prices": "pricing",
    **dict.fromkeys(PEOPLE_FIGURES, "people"),
}
# Tables that are folded: these, and those of more rows.
_FOLDED = "regression variance people_terms balance discrepancy_assumptions fidelity_shares".split()
_TALL = 18
_NUMERIC = re.compile(r"^(-?[$]?\d[\d,.]*|-?inf|\?|-|)( %)?( ?[(\[].*[)\]]| \(.*\))?$")

Row = dict[str, Any]


def write_page(
    parts: Sequence[tuple[Findings, str]],
    path: str | Path,
    *,
    command: str = "",
    cost: float | None = None,
    responses: Sequence[Mapping[str, Response] | None] | None = None,
    letters: str = "ABCDEFGH",
) -> None:
    """Write one self-contained HTML page with a part per report.

    Parameters
    ----------
    parts : sequence of (Report, str)
        Reports, each with a sentence that says what kind of evidence it is.
    path : path
        The file; its folder is made.
    command : str
        The command that reproduces the page.
    cost : float, optional
        Unit cost for prices of the highest profit; each report's own by default.
    responses : sequence of mapping, optional
        By report: responses by run id, for answers token by token.
    letters : str
        Of the parts, where there are several. Reports of a known truth beside others are folded.

    Raises
    ------
    UsageError
        If the path is a folder, or its folder a file.
    """
    known = responses if responses is not None else [None] * len(parts)
    several = len(parts) > 1
    study = parts[0][0].panel.study
    real = any(report.truth is None for report, _ in parts)
    write(
        path,
        title="Demand from a language model: belief against choice"
        if several
        else study.title or study.name,
        sections=[
            _section(report, note, cost, answered, letters[k] if several else "")
            | {"folded": several and real and report.truth is not None}
            for k, ((report, note), answered) in enumerate(zip(parts, known, strict=True))
        ],
        command=command,
    )


def write(path: str | Path, *, title: str, sections: list[Row], command: str) -> None:
    """Fill the template and write the file."""
    usual: Row = {"market": None, "folded": False, "numbers": [], "id": "", "note": ""}
    usual |= {"people": False, "answers": [], "again": "", "simulate": ""}
    write_file(
        path,
        "report.html",
        title=title,
        sections=[{**usual, **section} for section in sections],
        command=command,
    )


def part(id_: str, title: str | None = None, **given: Any) -> Row:
    """A part of a section as the template takes it: texts, tables and figures, if there are any."""
    named = SECTIONS[id_] if title is None else title
    return {"id": id_, "title": named, "texts": [], "tables": [], "figures": [], **given}


def _section(
    report: Findings,
    note: str,
    cost: float | None,
    responses: Mapping[str, Response] | None,
    letter: str,
) -> Row:
    study, panel = report.panel.study, report.panel
    name = study.menu[study.focal].label
    model = _short(str(panel.provenance.get("model") or "a language model"))
    answers = answers_of(panel, responses)
    market = market_part(report, f"{letter.lower()}-" if letter else "", cost)
    facts, settings = provenance(panel)
    return {
        "id": f"{letter.lower()}-" if letter else "",
        "name": f"{letter}. {study.title or study.name}" if letter else study.title or study.name,
        "label": tables.label(report),
        "people": report.people is not None,
        "note": f"{note} {truth.summary()}".strip() if (truth := report.truth) else note,
        "question": f"How does the demand for {name} react to its price?",
        "model": model,
        "verdict": report.verdict(),
        "problems": report.problems,
        "tiles": first_numbers(report, report.cost if cost is None else cost),
        "numbers": further_numbers(report),
        "market": market,
        "description": study.description,
        "facts": design_facts(panel),
        "prompts": prompts(panel),
        "provenance": facts,
        "settings": settings,
        "again": again(report),
        "simulate": simulate(panel),
        **answers,
        "parts": _parts(report, cost, market is not None),
    }


def _parts(report: Findings, cost: float | None, market: bool) -> list[Row]:
    """The sections of a report, each with what stands in it."""
    shown, drawn = _tables(report, cost), _figures(report)
    told: list[str] = []
    return [
        part(
            id_,
            texts=_lacking(report, id_, told) + _texts(report, id_, cost),
            tables=shown.get(id_, []),
            figures=drawn.get(id_, []),
        )
        for id_ in SECTIONS
        if (id_ != "people" or report.people is not None) and (id_ != "market" or market)
    ]


def _lacking(report: Findings, id_: str, told: list[str]) -> list[str]:
    """Which parts a section lacks, and why; a reason that was `told` is not told again."""
    said: list[str] = []
    for name, field in _PARTS.get(id_, {}).items():
        if getattr(report, field) is not None:
            continue
        words = name.removeprefix("demand from ")
        causes = [p.partition(": ") for p in report.problems if p.startswith("No ")]
        why = next((reason for names, _, reason in causes if words in names), "")
        again = why in told
        told.append(why)
        why = f", for the reason given under {SECTIONS['demand']}." if again else f": {why}"
        said.append(f"This panel gives no {name}{why}")
    if id_ == "pricing" and not report.demands:
        said.append("Without an estimate of demand there are no prices to name.")
    return said


def _texts(report: Findings, id_: str, cost: float | None) -> list[str]:
    """What the numbers of a section mean."""
    if id_ == "people" and report.people is not None:
        return report.people.texts
    if id_ == "worth" and report.variance is not None:
        if not math.isfinite(report.variance.worth):
            return [
                "What a belief run is worth cannot be told: beliefs do not vary within cells, or "
                "nothing does."
            ]
        return [
            "Belief and choice have the same mean. What a choice varies more than belief is the "
            "noise of drawing one answer from what the model believes; a belief run is worth as "
            "many choice runs as are needed to average that noise away: 1 / the intra-cell "
            "correlation."
        ]
    if id_ == "pricing" and report.demands and cost is None and report.cost is None:
        return [
            "The price of the highest profit needs a unit cost: `compare(panel, cost=...)`, or "
            "`llmdemand compare --cost`."
        ]
    return []


def _tables(report: Findings, cost: float | None) -> dict[str, list[Row]]:
    """The tables of the report by section, cells with a flag for numbers."""
    found: dict[str, list[Row]] = {}
    for table in tables.all_tables(report, cost):
        if not table.frame.empty:
            found.setdefault(_TABLES.get(table.name, "demand"), []).append(table_part(table))
        if table.name == "quality":
            found.setdefault("quality", []).append(_statuses(report))
    return found


def table_part(table: Table) -> Row:
    """A table as the template takes it: cells with a flag for numbers."""
    frame = table.frame.astype(str)
    body = frame.to_numpy().tolist()
    numeric = [k > 0 and all(_NUMERIC.match(row[k]) for row in body) for k in range(frame.shape[1])]
    return {
        "title": table.title,
        # The problems of the panel stand on top of the page.
        "notes": () if table.name == "quality" else table.notes,
        "head": list(zip(map(str.strip, frame.columns), numeric, strict=True)),
        "body": [list(zip(row, numeric, strict=True)) for row in body],
        "folded": len(body) > _TALL or table.name in _FOLDED,
    }


def _statuses(report: Findings) -> Row:
    """How many answers have which status, and what the statuses mean."""
    counts, total = report.quality.statuses, max(1, len(report.panel))
    return {
        "title": "Answers by status",
        "notes": (
            "Answers of every status enter the estimates by what they choose in the end; those of "
            "which that is not read, by what their belief corrects."
            if report.reading == "final"
            else "Only answers with status ok enter the estimates."
            if report.belief is not None or report.choice is None
            else "Without a single belief, choice is fitted to the no_logprobs answers that name "
            "an alternative.",
        ),
        "head": [("status", False), ("answers", True), ("share", True), ("meaning", False)],
        "body": [
            [
                (status, False),
                (f"{counts[status]:,}", True),
                (percent(counts[status] / total), True),
                (meaning, False),
            ]
            for status, meaning in STATUSES.items()
            if status in counts
        ],
        "folded": False,
    }


def _figures(report: Findings) -> dict[str, list[Row]]:
    """The figures that the report has the parts for, by section."""
    found: dict[str, list[Row]] = {}
    for name in available(report):
        found.setdefault(_FIGURES.get(name, "demand"), []).append(figure_part(report, name))
    return found


def figure_part(report: Any, name: str) -> Row:
    """A figure as the template takes it."""
    return drawn_part(render(report, name, "svg"), FIGURES[name][1])


def drawn_part(drawn: bytes, caption: str) -> Row:
    """An SVG file as the template takes it."""
    size = re.search(rb'<svg[^>]*?width="([\d.]+)pt"[^>]*?height="([\d.]+)pt"', drawn)
    size = size or re.search(rb'viewBox="0 0 ([\d.]+) ([\d.]+)"', drawn)
    width, height = (float(v) for v in size.groups()) if size else (480.0, 360.0)
    return {
        "data": base64.b64encode(drawn).decode(),
        "caption": caption,
        "alt": f"Figure: {caption}",
        "width": round(width * 4 / 3),
        "height": round(height * 4 / 3),
    }


def _short(model: str) -> str:
    """A model's name without what follows a colon."""
    return model.partition(":")[0].strip() or model
