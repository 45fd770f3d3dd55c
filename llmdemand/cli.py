"""The command line. It parses, calls and prints; it computes nothing."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from llmdemand.errors import LLMDemandError, UsageError

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console

    from llmdemand.core.panel import Panel
    from llmdemand.core.study import Study
    from llmdemand.reporting.compare import Report
    from llmdemand.simulation.backend import Backend

__all__ = ["app", "main"]

app = typer.Typer(
    help="Demand estimation with language models: what they say, and how sure they were.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)

# A known-truth consumer costs nothing: enough runs that the pool resolves 93 of them.
_SYNTHETIC_RUNS = 400
_RECONSTRUCTION = (
    "A known-truth consumer, reconstructed so that it meets the published figures; not a language "
    "model and not the published data. It shows what the method does where the truth is known."
)
_IN_CONTEXT = (
    "A real language model on this machine. It continues purchase records that synthetic "
    "households wrote, so this is in-context demand: how the model reads a record, not what it "
    "knows of brands."
)
_REAL = "A real language model; every number comes from its tokens."

BackendName = Annotated[
    str | None, typer.Option("--backend", help="[b]local[/b], [b]openai[/b] or [b]synthetic[/b].")
]
ModelName = Annotated[
    str | None,
    typer.Option("--model", help="A GGUF file (local) or a model name (openai)."),
]
BaseUrl = Annotated[
    str | None, typer.Option("--base-url", help="A compatible server (openai), ending in /v1.")
]
Runs = Annotated[int | None, typer.Option("--runs", help="Runs per cell; the study's by default.")]
Seed = Annotated[int, typer.Option("--seed", help="Seed of the whole panel.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print machine-readable JSON.")]
PanelPath = Annotated[Path, typer.Argument(help="A panel.parquet file.")]


@app.command()
def replicate(
    name: Annotated[str, typer.Argument(help="What to replicate: [b]pampers[/b].")],
    study: Annotated[
        str | None, typer.Option("--study", help="A bundled study or a TOML file.")
    ] = None,
    backend: BackendName = None,
    model: ModelName = None,
    base_url: BaseUrl = None,
    runs: Runs = None,
    seed: Seed = 1,
    out: Annotated[Path, typer.Option("--out", help="Folder for the results.")] = Path(
        "llmdemand-pampers"
    ),
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
    command = _command_line()
    if (study, backend, model, base_url) == (None, None, None, None):
        _story(runs, seed, out, command)
        return
    chosen = load_study(study or ("pampers" if backend else "pampers-households"))
    answerer = _backend(backend or ("openai" if base_url else "local"), chosen, model, base_url)
    report, note = _study_report(chosen, answerer, runs, seed, out)
    report.to_html(out / "report.html", note=note, command=command)
    _print_report(report, note)
    _print_files(out)


@app.command()
def simulate(
    study: Annotated[str, typer.Argument(help="A bundled study or a TOML file.")],
    backend: BackendName = "local",
    model: ModelName = None,
    base_url: BaseUrl = None,
    runs: Runs = None,
    seed: Seed = 1,
    out: Annotated[
        Path, typer.Option("--out", help="The panel; responses are kept beside it.")
    ] = Path("panel.parquet"),
) -> None:
    """Ask a language model a study; write the panel and the raw responses.

    Example: [b]llmdemand simulate pampers --backend synthetic --runs 20 --out panel.parquet[/b]
    """
    from llmdemand.core.study import load_study

    chosen = load_study(study)
    _refuse_folder(out)
    answerer = _backend(backend or "local", chosen, model, base_url)
    panel = _simulate(chosen, answerer, runs, seed, out.with_suffix(".responses.jsonl"))
    panel.write(out)
    _out().print(f"{len(panel)} runs: {_statuses(panel)}\npanel: {out}")


@app.command()
def fit(
    panel: PanelPath,
    outcome: Annotated[str, typer.Option(help="[b]belief[/b] or [b]choice[/b].")] = "belief",
    alternative: Annotated[
        str | None, typer.Option(help="Whose demand; the study's focal one by default.")
    ] = None,
    vcov: Annotated[
        str | None,
        typer.Option(help="iid, HC0, HC1, or CRV1:column; chosen by the design by default."),
    ] = None,
    price: Annotated[
        list[float] | None, typer.Option("--price", help="Print the elasticity at this price.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Fit the demand model to a panel.

    Example: [b]llmdemand fit panel.parquet --outcome belief --price 35[/b]
    """
    from llmdemand.core.panel import Panel
    from llmdemand.modeling.demand import fit_demand

    chosen: Any = vcov
    if vcov and ":" in vcov:
        kind, _, column = vcov.partition(":")
        chosen = {kind: column}
    with _warnings_as_lines():
        demand = fit_demand(
            Panel.read(panel),
            outcome,  # type: ignore[arg-type]  # checked there, with a message
            alternative=alternative,
            vcov=chosen,
        )
    elasticity = demand.elasticity(price) if price else None
    if as_json:
        found = {"terms": _records(demand.fit.tidy().rename_axis("term").reset_index())}
        if elasticity is not None:
            found["elasticity"] = _records(elasticity)
        _json({"outcome": outcome, "alternative": demand.alternative, **found})
        return
    _out().print(demand.summary(), markup=False, highlight=False)
    if elasticity is not None:
        _out().print(f"\nOwn-price elasticity, delta method:\n{elasticity.to_string(index=False)}")


@app.command()
def extract(
    file: Annotated[Path, typer.Argument(help="JSONL: a response store or a batch output.")],
    study: Annotated[str, typer.Option("--study", help="The study that was asked.")],
    out: Annotated[Path, typer.Option("--out", help="The panel.")] = Path("panel.parquet"),
    low_mass: Annotated[
        float, typer.Option(help="Below this decided mass a run is low_mass.")
    ] = 0.05,
) -> None:
    """Extract beliefs from responses on disk; asks no model.

    Example: [b]llmdemand extract responses.jsonl --study pampers --out panel.parquet[/b]
    """
    from llmdemand.belief.readers import read_answers
    from llmdemand.belief.rows import extract_panel
    from llmdemand.core.study import load_study

    chosen = load_study(study)
    _refuse_folder(out)
    if out.exists() and file.exists() and out.samefile(file):
        raise UsageError(f"--out {out} is the file that is read: responses are never overwritten")
    provenance = {"backend": "file", "source": file.name, "study_hash": chosen.hash}
    panel = extract_panel(chosen, read_answers(file, chosen), provenance, low_mass=low_mass)
    panel.write(out)
    _out().print(f"{len(panel)} runs: {_statuses(panel)}\npanel: {out}")


@app.command()
def audit(panel: PanelPath, as_json: AsJson = False) -> None:
    """Check whether a panel's beliefs can be believed.

    Example: [b]llmdemand audit panel.parquet[/b]
    """
    from llmdemand.belief.audit import audit as run
    from llmdemand.belief.audit import check_equivalence
    from llmdemand.core.panel import Panel

    read = Panel.read(panel)
    found = run(read)
    same = check_equivalence(read) if len(read.usable) else None
    if as_json:
        _json(
            {
                "statuses": {str(k): int(v) for k, v in read.statuses.items()},
                "mismatches": found.mismatches,
                "checked": found.checked,
                "position_locked": found.position_locked,
                "equivalence": None
                if same is None
                else {"difference": same.difference, "se": same.se, "p": same.chi2_pvalue},
            }
        )
        return
    _out().print(found.summary(), markup=False, highlight=False)
    if same is not None:
        _out().print(
            f"\nmean choice minus mean belief {same.difference:.4f} (SE {same.se:.4f}); by cell "
            f"chi2 {same.chi2:.1f}, p = {same.chi2_pvalue:.3f}; intra-cell correlation "
            f"{same.icc:.3f}",
            highlight=False,
        )


@app.command()
def compare(
    panel: PanelPath,
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder for tables, figures and report.html.")
    ] = None,
    runs: Annotated[
        list[int] | None, typer.Option("--runs", help="A number of runs; may be repeated.")
    ] = None,
    replications: Annotated[int, typer.Option(help="Draws per number of runs.")] = 1000,
    seed: Seed = 1,
    as_json: AsJson = False,
) -> None:
    """Compare belief and choice on the runs of one panel.

    Example: [b]llmdemand compare panel.parquet --out results[/b]
    """
    from llmdemand.core.panel import Panel

    report = _compare(Panel.read(panel), seed, tuple(runs or (1, 2, 5, 10, 20)), replications)
    if out is not None:
        report.save(out)
        report.to_html(out / "report.html", command=_command_line())
    if as_json:
        _json(
            {
                "estimates": _records(report.estimates().reset_index()),
                "precision": _records(report.precision.table),
                "needed": _records(report.precision.needed.rename_axis("outcome").reset_index()),
            }
        )
        return
    _print_report(report, "")
    if out is not None:
        _print_files(out)


@app.command()
def studies(
    name: Annotated[str | None, typer.Argument(help="Show this study's prompt.")] = None,
    as_json: AsJson = False,
) -> None:
    """List the bundled studies, or show one.

    Example: [b]llmdemand studies pampers[/b]
    """
    from llmdemand.core.study import load_study
    from llmdemand.core.study import studies as bundled

    if name is not None:
        chosen = load_study(name)
        if as_json:
            _json(chosen.to_dict())
            return
        cell = chosen.cells()[0]
        system, user = chosen.prompt(cell, chosen.order(cell, 0))
        _out().print(_design(chosen), highlight=False)
        _out().print(f"\n{system}\n\n{user}".rstrip(), markup=False, highlight=False)
        return
    found = [load_study(n) for n in bundled()]
    if as_json:
        _json([{"name": s.name, "title": s.title, "cells": len(s.cells())} for s in found])
        return
    for chosen in found:
        _out().print(f"[b]{chosen.name}[/b]  {_design(chosen)}", highlight=False)


def _story(runs: int | None, seed: int, out: Path, command: str) -> None:
    """Part A: the known truth beside the published figures. Part B: a real model here."""
    from llmdemand.core.study import load_study
    from llmdemand.reporting.html import write_page

    # Part B is prepared first: a missing engine is said before any work is done.
    households = load_study("pampers-households")
    local = _backend("local", households, None, None)
    pampers = load_study("pampers")
    _out().rule("[b]A. A known-truth consumer, beside the published figures")
    truth, truth_note = _study_report(
        pampers, _backend("synthetic", pampers, None, None), None, seed, out / "known-truth"
    )
    _print_report(truth, truth_note)
    _out().rule("[b]B. A real language model on this machine")
    real, real_note = _study_report(households, local, runs, seed, out)
    _print_report(real, real_note)
    write_page([(truth, truth_note), (real, real_note)], out / "report.html", command=command)
    _print_files(out)


def _study_report(
    study: Study, backend: Backend, runs: int | None, seed: int, out: Path
) -> tuple[Report, str]:
    """Simulate into `out`, compare, save everything but the page."""
    panel = _simulate(study, backend, runs, seed, out / "responses.jsonl")
    # The panel is kept even when nothing can be estimated from it.
    panel.write(out / "panel.parquet")
    report = _compare(panel, seed)
    report.save(out)
    if backend.name == "synthetic":
        return report, _RECONSTRUCTION
    return report, _IN_CONTEXT if study.label == "in-context demand" else _REAL


def _backend(name: str, study: Study, model: str | None, base_url: str | None) -> Backend:
    from llmdemand.simulation.run import backend_named

    return backend_named(name, study, model=model, base_url=base_url)


def _simulate(study: Study, backend: Backend, runs: int | None, seed: int, store: Path) -> Panel:
    from llmdemand.simulation.run import checked_runs
    from llmdemand.simulation.run import simulate as run

    if runs is None and backend.name == "synthetic":
        runs = _SYNTHETIC_RUNS
    per_cell = checked_runs(study, runs, seed)
    cells = study.cells()
    system, user = study.prompt(cells[0], study.order(cells[0], 0))
    total = len(cells) * per_cell
    words = len((system + user).split())
    _err().print(
        f"{study.name}: {len(cells)} cells x {per_cell} runs = {total} answers of at most "
        f"{study.sampling.max_tokens} tokens to prompts of about {words} words, by {backend.model}",
        highlight=False,
    )
    try:
        return run(study, backend, runs=runs, seed=seed, store=store, progress=True)
    except KeyboardInterrupt:
        _err().print(
            f"interrupted; every answer so far is in {store}: run the same command to go on",
            highlight=False,
        )
        raise typer.Exit(130) from None


def _compare(
    panel: Panel,
    seed: int,
    runs: tuple[int, ...] = (1, 2, 5, 10, 20),
    replications: int = 1000,
) -> Report:
    from rich.progress import Progress

    from llmdemand.reporting.compare import compare as run

    with Progress(console=_err(), transient=True) as bar:
        task = bar.add_task("drawing runs and fitting", total=1.0)
        report: Callable[[float], None] = lambda done: bar.update(task, completed=done)  # noqa: E731
        return run(panel, runs, replications=replications, seed=seed, progress=report)


def _print_report(report: Report, note: str) -> None:
    from llmdemand.reporting.terminal import print_report

    print_report(report, note, _out())


def _print_files(out: Path) -> None:
    _out().print(
        f"results in {out}/: report.html, panel.parquet, tables/, figures/", highlight=False
    )


def _design(study: Study) -> str:
    grid = study.prices[study.focal]
    personas = f", {len(study.personas)} personas" if study.personas else ""
    return (
        f"{study.title} ({study.label}): {len(study.cells())} cells{personas}; price of "
        f"{study.menu[study.focal].label} {min(grid):g} to {max(grid):g} {study.unit}; "
        f"{study.runs} runs per cell"
    )


def _statuses(panel: Panel) -> str:
    return ", ".join(f"{status} {n}" for status, n in panel.statuses.items() if n)


def _records(frame: pd.DataFrame) -> list[dict[Any, Any]]:
    return frame.astype(object).to_dict("records")


def _refuse_folder(out: Path) -> None:
    if out.is_dir() or not out.name:
        raise UsageError(f"--out {out} is a folder: give the path of a parquet file")


def _json(value: Any) -> None:
    typer.echo(json.dumps(_plain(value), indent=2, allow_nan=False))


def _plain(value: Any) -> Any:
    """JSON types: not-a-number is null, infinities are the strings inf and -inf."""
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_plain(v) for v in value]
    if isinstance(value, float):
        return None if value != value else value if abs(value) < float("inf") else str(value)
    return value


def _out() -> Console:
    from rich.console import Console

    return Console(soft_wrap=False)


def _err() -> Console:
    from rich.console import Console

    return Console(stderr=True)


def _command_line() -> str:
    import shlex

    return shlex.join(["llmdemand", *sys.argv[1:]])


@contextmanager
def _warnings_as_lines() -> Iterator[None]:
    """Show warnings as one line each, without source lines."""
    import warnings

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    for warning in caught:
        typer.echo(f"warning: {warning.message}", err=True)


def main() -> None:
    """Entry point: a user's mistake is one line and exit code 2."""
    import warnings

    warnings.showwarning = lambda message, *_, **__: typer.echo(f"warning: {message}", err=True)
    try:
        app()
    except (LLMDemandError, OSError) as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(2)
