"""Where a panel comes from, as the page tells it: design, prompts, provenance, commands."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from llmdemand.core.panel import Panel
from llmdemand.core.shards.shards import AnyPanel, PanelShards, runs_by_cell, totalled
from llmdemand.core.study import Study, load_study, studies
from llmdemand.scale.sums import Sums

if TYPE_CHECKING:
    from llmdemand.reporting.findings import Findings

__all__ = ["again", "design_facts", "prompts", "provenance", "simulate"]

Facts = list[tuple[str, str]]

_SHOWN = ("seed", "runs", "study_hash", "llmdemand")


def design_facts(panel: AnyPanel) -> Facts:
    """The design as pairs of a name and a text."""
    study = panel.study
    labels = [a.label for a in study.menu]
    facts = [("Alternatives", ", ".join(labels))]
    for a, grid in study.prices.items():
        facts.append((f"Price of {study.menu[a].label}", f"{_grid(grid)} {study.unit}"))
    for x in study.attributes:
        shown = ", ".join(f"{v:g}" if isinstance(v, float) else v for v in x.levels)
        facts.append((f"Levels of {x.name}", shown))
    if study.conjoint is not None:
        given = study.conjoint
        held = f", {given.holdouts} holdouts" if given.holdouts else ""
        blocks = f", {given.blocks} blocks" if given.blocks > 1 else ""
        facts.append(("Choice tasks", f"{given.total} ({given.method}){held}{blocks}"))
    cells = study.cells()
    facts.append(("Cells (prompts)", f"{len(cells):,}"))
    if len(panel):
        counted = runs_by_cell(panel)
        low, high = int(counted.min()), int(counted.max())
        facts.append(("Runs per cell", f"{low:,}" if low == high else f"{low:,} to {high:,}"))
    if study.personas:
        facts.append(("Personas", f"{len(study.personas):,}"))
    orders = study.option_orders()
    names = "; ".join(", ".join(study.menu[a].label for a in o) for o in orders[:4])
    facts.append((f"Option orders ({study.orders})", names + (" ..." if len(orders) > 4 else "")))
    if study.variants:
        facts.append(("Prompt variants", ", ".join(v.id for v in study.variants)))
    if study.arms != ("blind",):
        facts.append(("Arms", ", ".join(study.arms)))
    drawn = study.sampling
    facts.append(
        (
            "Sampling",
            f"temperature {drawn.temperature:g}, at most {drawn.max_tokens} tokens, "
            f"{drawn.top_logprobs} candidates listed per token",
        )
    )
    return facts


def _grid(values: Sequence[float]) -> str:
    if len(values) <= 6:
        return ", ".join(f"{v:g}" for v in values)
    return f"{min(values):g} to {max(values):g} ({len(values)} prices)"


def prompts(panel: AnyPanel) -> list[dict[str, Any]]:
    """One prompt as it was asked for each wording and arm, that of the first run first."""
    study, found = panel.study, []
    asked = [study.cell(_first_cell(panel))] if len(panel) else []
    told = set()
    for cell in (*asked, *study.cells()):
        kind = (cell.variant, cell.arm)
        if kind in told:
            continue
        told.add(kind)
        system, user = study.prompt(cell, study.order(cell, 0))
        own = ", ".join(f"{study.menu[a].label} {p:g}" for a, p in cell.prices.items())
        varied = [f"variant {cell.variant}"] if cell.variant else []
        varied += [f"{cell.arm} arm"] if len(study.arms) > 1 else []
        roles = ("system", "user") if study.mode == "chat" else ("before", "text to continue")
        found.append(
            {
                "name": "; ".join([f"The prompt at {own}", *varied]),
                "texts": [
                    (role, text) for role, text in zip(roles, (system, user), strict=True) if text
                ],
            }
        )
    return found


def _first_cell(panel: AnyPanel) -> int:
    first = panel if isinstance(panel, Panel) else next(p for p in panel if len(p))
    return int(first.frame["cell"].iloc[0])


def provenance(panel: AnyPanel) -> tuple[Facts, str]:
    """Who answered, with what, at what price; and the backend's settings as JSON."""
    given, study = panel.provenance, panel.study
    facts = [("Model", str(given.get("model", "not recorded")))]
    snapshots = sorted(totalled(_models, panel)["names"] - {"", facts[0][1]})
    if snapshots:
        facts.append(("Snapshot that answered", ", ".join(snapshots)))
    facts.append(("Backend", str(given.get("backend", "not recorded"))))
    names = {"seed": "Seed", "runs": "Runs per cell asked", "llmdemand": "llmdemand that asked"}
    facts += [(text, str(given[k])) for k, text in names.items() if k in given]
    facts.append(("Study", f"{study.name}, hash {study.hash}"))
    if given.get("study_hash", study.hash) != study.hash:
        facts.append(("Study hash when asked", str(given["study_hash"])))
    facts += _tokens(panel)
    left = {k: v for k, v in given.items() if k not in {*_SHOWN, *_KNOWN}}
    facts += [(k.replace("_", " ").capitalize(), _plain(v)) for k, v in left.items()]
    facts.append(("Analysed with", _versions()))
    settings = given.get("settings")
    return facts, json.dumps(settings, indent=2, default=str) if settings else ""


_KNOWN = ("model", "backend", "settings", "usd_per_million_tokens", "truth")


def _models(panel: Panel) -> Sums:
    return Sums(names=frozenset(map(str, panel.frame["model"].dropna().unique())))


def _token_sums(panel: Panel) -> NDArray[np.float64]:
    return panel.frame[["prompt_tokens", "completion_tokens"]].astype(float).sum().to_numpy()


def _tokens(panel: AnyPanel) -> Facts:
    import math

    read, written = map(float, totalled(_token_sums, panel))
    facts = [("Tokens", f"{read:,.0f} read, {written:,.0f} written")] if read + written else []
    prices = panel.provenance.get("usd_per_million_tokens")
    if prices and not math.isnan(read + written):
        usd = (read * prices[0] + written * prices[1]) / 1e6
        facts.append(
            (
                "Price of tokens",
                f"${prices[0]:g} read and ${prices[1]:g} written per million: ${usd:,.2f} at most",
            )
        )
    elif panel.provenance.get("backend"):
        facts.append(("Price of tokens", "none recorded"))
    return facts


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=str)


def _versions() -> str:
    import platform
    from importlib.metadata import version

    packages = ", ".join(f"{p} {version(p)}" for p in ("numpy", "pandas", "scipy", "statsmodels"))
    from llmdemand import __version__

    return f"llmdemand {__version__}, Python {platform.python_version()}, {packages}"


def again(report: Findings) -> str:
    """Python that computes the report's numbers from its panel."""
    shards = isinstance(report.panel, PanelShards)
    options = ", ".join(f"{k}={v!r}" for k, v in report.settings.items())
    return "\n".join(
        [
            "import llmdemand as ld",
            *([] if shards else ["from llmdemand.core.panel import Panel"]),
            "",
            'panel = ld.read_panel("panel")  # the folder'
            if shards
            else 'panel = Panel.read("panel.parquet")',
            f"report = ld.compare(panel{', ' if options else ''}{options})",
            "report.verdict(), report.problems, report.estimates(), report.pricing()",
        ]
    )


def simulate(panel: AnyPanel) -> str:
    """The command that asks the same questions; empty if the study is no bundled one."""
    given = panel.provenance
    backend, model = given.get("backend"), given.get("model")
    if not backend or "runs" not in given or not _bundled(panel.study):
        return ""
    words = ["llmdemand", "simulate", panel.study.name, "--backend", str(backend)]
    if backend == "openai":
        words += ["--model", str(model)]
    words += ["--runs", str(given["runs"]), "--seed", str(given.get("seed", 1))]
    return shlex.join([*words, "--out", "panel.parquet"])


def _bundled(study: Study) -> bool:
    return study.name in studies() and load_study(study.name).hash == study.hash
