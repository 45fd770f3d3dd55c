"""Comparing and showing, for the commands that end in a report."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmdemand.cli.output import err, out, print_json, records
from llmdemand.errors import DesignError, UsageError

if TYPE_CHECKING:
    from llmdemand.belief.tokens import Response
    from llmdemand.core.panel import Panel
    from llmdemand.core.shards.shards import AnyPanel
    from llmdemand.reporting.compare import Report


def compared(
    panel: AnyPanel,
    seed: int,
    runs: tuple[int, ...] = (1, 2, 3, 5, 10, 20),
    replications: int = 1000,
    **options: Any,
) -> Report:
    """Compare with a bar."""
    from rich.progress import Progress

    from llmdemand.reporting.compare import compare as run

    with Progress(console=err(), transient=True) as bar:
        task = bar.add_task("drawing runs and fitting", total=1.0)
        report: Callable[[float], None] = lambda done: bar.update(task, completed=done)  # noqa: E731
        return run(panel, runs, replications=replications, seed=seed, progress=report, **options)


def print_report(report: Report, note: str, *, folder: Path | None = None) -> None:
    """The report on the terminal, and where its files are."""
    from llmdemand.reporting.terminal import print_report as show

    show(report, note, out(), folder=folder)


def result_folder(folder: Path) -> Path:
    """The folder for results; a file, or a place where none can be made, is refused."""
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"--out {folder} is a file: give a folder, which is made if it is missing")
    if any(parent.exists() and not parent.is_dir() for parent in folder.parents):
        raise UsageError(f"--out {folder} lies below a file: give another folder")
    return folder


def kept_responses(
    panel: AnyPanel, path: Path, store: Path | None = None
) -> Mapping[str, Response] | None:
    """The responses that the page shows, from the store beside a panel; None without one.

    Parameters
    ----------
    panel : Panel or PanelShards
        Whose answers.
    path : path
        Its file: the store is ``<name>.responses.sqlite`` or ``responses.sqlite`` beside it.
    store : path, optional
        The store, if it lies elsewhere.

    Raises
    ------
    UsageError
        If a store was named that is none, or holds other answers.
    """
    from llmdemand.core.shards.shards import sampled
    from llmdemand.reporting.page.inspector import matcher, sample
    from llmdemand.simulation.backends.recorded import stored_answers
    from llmdemand.simulation.storing.store import is_store

    beside = (path.with_suffix(".responses.sqlite"), path.with_name("responses.sqlite"))
    chosen = store or next((p for p in beside if is_store(p)), None)
    if chosen is None:
        return None
    if not is_store(chosen):
        raise UsageError(f"--store {chosen} is no response store")
    rows = {row["run_id"]: row for row in sample(sampled(panel)).to_dict("records")}
    fits = matcher(panel.study)
    found: dict[str, Response] = {}
    try:
        for answer in stored_answers(
            chosen, panel.study, model=panel.provenance.get("model") or None
        ):
            run = f"{answer.cell.index}-{answer.replicate}"
            # A store may hold the same runs under several seeds.
            if run in rows and fits(rows[run], answer.response):
                found[run] = answer.response
    except UsageError:
        if store is not None:
            raise
        return None
    return found


def report_facts(report: Report) -> dict[str, Any]:
    """What ``--json`` says of a report."""
    from llmdemand.reporting.tables.frames import by_outcome

    drawn, needed = report.precision, report.needed
    return {
        "measure": report.panel.study.measure,
        "verdict": report.verdict(),
        "problems": report.problems,
        "estimates": records(report.estimates().reset_index()),
        "pricing": records(report.pricing()),
        "precision": None if drawn is None else records(drawn.table),
        "needed": None if needed is None else records(by_outcome(needed.table)),
    }


def files_in(folder: Path | None, *names: str) -> dict[str, str]:
    """What ``--json`` says of results: the folder, and what is in it by its name; or nothing."""
    if folder is None:
        return {}
    return {"folder": str(folder)} | {Path(name).stem: str(folder / name) for name in names}


def print_files(folder: Path) -> None:
    """Where the results are."""
    out().print(
        f"results in {folder}/: report.html, panel.parquet, tables/, figures/", highlight=False
    )


def print_numbers(
    panel: Panel,
    outcome: str,
    options: dict[str, Any],
    price: list[float] | None,
    cost: float | None,
    *,
    as_json: bool,
) -> None:
    """Print the fit of a question of numbers, and what belief gains over choice."""
    from llmdemand.modeling.models.numbers import number_precision, of_numbers

    model, formula = options.pop("model"), options.pop("formula")
    if cost is not None and panel.study.kind == "rating":
        raise UsageError("--cost is of quantities: ratings are no purchases, leave it out")
    fit: Any = of_numbers(panel, outcome, model, formula, **options)  # type: ignore[arg-type]
    asked: dict[str, Callable[[], Any]] = {"expected": fit.expected}
    if price:
        asked["elasticity"] = lambda: fit.elasticity(price)
    if panel.study.kind == "rating":
        asked["top_box"] = fit.top_box
    if cost is not None:
        asked["optimal_price"] = lambda: fit.optimal_price(cost)
    if panel.usable[f"belief_{panel.study.watched}"].notna().any():
        asked["precision"] = lambda: number_precision(panel, formula=fit.data.formula)
    found, lacking = {}, []
    for name, made in asked.items():
        try:
            found[name] = made()
        except DesignError as error:  # of a small panel not all can be had
            lacking.append(f"no {name.replace('_', ' ')}: {error}")
    truth = panel.provenance.get("truth", {}).get("slope") if fit.data.formula == "price" else None
    if as_json:
        terms = records(fit.tidy().rename_axis("term").reset_index())
        facts = {k: getattr(fit, k) for k in ("kind", "nobs", "dropped", "vcov", "llf")}
        named: dict[str, Any] = {"outcome": outcome, "alternative": fit.alternative}
        named |= {"unit": fit.unit, "fit": {**facts, "notes": list(fit.notes)}, "terms": terms}
        named |= {} if truth is None else {"truth": {"price": truth}}
        tables = {k: q.table.rename_axis("term").reset_index() for k, q in found.items()}
        tables = {k: t if k == "precision" else t.drop(columns="term") for k, t in tables.items()}
        print_json({**named, "lacking": lacking, **{k: records(t) for k, t in tables.items()}})
        return
    told = [] if truth is None else [f"known truth: a price coefficient of {truth:.5g}"]
    for text in [fit.summary(), *told, *map(str, found.values())]:
        out().print(f"{text}\n", markup=False, highlight=False, soft_wrap=True)
    for text in lacking:
        err().print(f"note: {text}", markup=False, highlight=False)
