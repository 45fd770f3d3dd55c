"""``llmdemand replicate``: a study from its questions to its page, in one command."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from llmdemand.cli.app import app
from llmdemand.cli.options import (
    AsJson,
    BackendName,
    BaseUrl,
    ConsumerFile,
    Dollars,
    ModelName,
    Outside,
    Runs,
    Seed,
    ServerFile,
    backend_of,
    budget,
)
from llmdemand.cli.output import command_line, err, out, panel_facts, print_json, refuse_other_study
from llmdemand.cli.reports import (
    compared,
    files_in,
    kept_responses,
    print_files,
    print_report,
    report_facts,
    result_folder,
)
from llmdemand.cli.runs import simulated
from llmdemand.errors import UsageError

if TYPE_CHECKING:
    from llmdemand.core.study import Study
    from llmdemand.reporting.compare import Report
    from llmdemand.simulation.backend import Backend

# A known-truth consumer costs nothing: enough runs that the pool resolves 93 of them.
_SYNTHETIC_RUNS = 400
_RECONSTRUCTION = (
    "A known-truth consumer, reconstructed so that it meets the published figures; not a language "
    "model and not the published data. It shows what the method does where the truth is known."
)
_KNOWN = (
    "A known-truth consumer, not a language model. What the method finds stands beside what is "
    "true of this consumer."
)
_IN_CONTEXT = (
    "A real language model on this machine. It continues purchase records that synthetic "
    "households wrote, so this is in-context demand: how the model reads a record, not what it "
    "knows of brands."
)
_REAL = "A real language model; every number comes from its tokens."


@app.command()
def replicate(
    name: Annotated[str, typer.Argument(help="What to replicate: [b]pampers[/b].")],
    study: Annotated[
        str | None, typer.Option("--study", help="A bundled study or a TOML file.")
    ] = None,
    allow_outside: Outside = False,
    backend: BackendName = None,
    model: ModelName = None,
    base_url: BaseUrl = None,
    consumer: ConsumerFile = None,
    server: ServerFile = None,
    budget_usd: Dollars = None,
    runs: Runs = None,
    seed: Seed = 1,
    folder: Annotated[Path, typer.Option("--out", help="Folder for the results.")] = Path(
        "llmdemand-pampers"
    ),
    as_json: AsJson = False,
) -> None:
    """Run the demand study: simulate, fit, compare, report.

    Without options it tells the story in two parts: (A) a known-truth consumer
    beside the published figures, (B) a real language model on this machine.
    Running again resumes and asks nothing twice.

    Example: [b]llmdemand replicate pampers --backend openai --model gpt-4o[/b]
    """
    from llmdemand.core.study import load_study

    if name != "pampers":
        raise UsageError(f"nothing to replicate under {name!r}: the published study is 'pampers'")
    command = command_line()
    if (study, backend, model, base_url, server, consumer) == (None,) * 6:
        _story(runs, seed, folder, command, as_json)
        return
    named = study or ("pampers" if backend else "pampers-households")
    chosen = load_study(named, allow_outside=allow_outside)
    answerer = backend_of(
        backend, chosen, model=model, base_url=base_url, server=server, consumer=consumer
    )
    report, note = _study_report(
        chosen, answerer, runs, seed, folder, budget=budget(budget_usd, None)
    )
    responses = kept_responses(report.panel, folder / "panel.parquet")
    report.to_html(folder / "report.html", note=note, command=command, responses=responses)
    if as_json:
        print_json({"reports": [_facts(report, note, folder)], "files": _files(folder)})
        return
    print_report(report, note)
    print_files(folder)


def _files(folder: Path) -> dict[str, str]:
    """Where the results of a replication are."""
    return files_in(folder, "report.html", "panel.parquet", "responses.sqlite", "tables", "figures")


def _facts(report: Report, note: str, folder: Path) -> dict[str, Any]:
    """What ``--json`` says of one report of a replication."""
    return {**panel_facts(report.panel, panel=folder / "panel.parquet"), **report_facts(report)} | {
        "model": report.panel.provenance.get("model"),
        "note": note,
    }


def _story(runs: int | None, seed: int, folder: Path, command: str, as_json: bool) -> None:
    """Part A: the known truth beside the published figures. Part B: a real model here."""
    from llmdemand.core.study import load_study
    from llmdemand.reporting.page.html import write_page

    # Part B is prepared first: a missing engine is said before any work is done.
    households = load_study("pampers-households")
    local = backend_of("local", households)
    pampers = load_study("pampers")
    known = folder / "known-truth"
    shown = err() if as_json else out()
    shown.rule("[b]A. A known-truth consumer, beside the published figures")
    truth, truth_note = _study_report(pampers, backend_of("synthetic", pampers), None, seed, known)
    if not as_json:
        print_report(truth, truth_note)
    shown.rule("[b]B. A real language model on this machine")
    real, real_note = _study_report(households, local, runs, seed, folder)
    if not as_json:
        print_report(real, real_note)
    write_page(
        [(real, real_note), (truth, truth_note)],
        folder / "report.html",
        command=command,
        letters="BA",
        responses=[
            kept_responses(report.panel, place / "panel.parquet")
            for report, place in ((real, folder), (truth, known))
        ],
    )
    if as_json:
        parts = [_facts(real, real_note, folder), _facts(truth, truth_note, known)]
        print_json({"reports": parts, "files": _files(folder)})
        return
    print_files(folder)


def _study_report(
    study: Study, backend: Backend, runs: int | None, seed: int, folder: Path, **options: Any
) -> tuple[Report, str]:
    """Simulate into a folder, compare, save everything but the page."""
    refuse_other_study(result_folder(folder) / "panel.parquet", study, backend.model)
    if runs is None and backend.name == "synthetic":
        runs = _SYNTHETIC_RUNS
    panel = simulated(study, backend, runs, seed, folder / "responses.sqlite", **options)
    # The panel is kept even when nothing can be estimated from it.
    panel.write(folder / "panel.parquet")
    report = compared(panel, seed)
    report.save(folder)
    if backend.name == "synthetic":
        usual = backend_of("synthetic", study)
        same = (usual.model, usual.settings) == (backend.model, backend.settings)
        return report, _RECONSTRUCTION if same and study.name == "pampers" else _KNOWN
    return report, _IN_CONTEXT if study.label == "in-context demand" else _REAL
