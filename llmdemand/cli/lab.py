"""``llmdemand lab``: the experiments on belief itself."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from llmdemand.cli.app import app
from llmdemand.cli.options import (
    AsJson,
    BaseUrl,
    Dollars,
    ModelName,
    Outside,
    PriceList,
    Seed,
    ServerFile,
    backend_of,
    budget,
    price_list,
)
from llmdemand.cli.output import err, print_json, records, say

if TYPE_CHECKING:
    from llmdemand.lab.ask import Respondent
    from llmdemand.lab.registry import Experiment
    from llmdemand.lab.result import Result
    from llmdemand.simulation.cost import Budget
    from llmdemand.simulation.judge import Judge

_SHOWN = 24  # rows of a table on the terminal


@app.command()
def lab(
    name: Annotated[
        str | None, typer.Argument(help="An experiment; without one they are listed.")
    ] = None,
    backend: Annotated[
        str, typer.Option("--backend", help="[b]synthetic[/b], [b]local[/b] or [b]openai[/b].")
    ] = "synthetic",
    model: ModelName = None,
    base_url: BaseUrl = None,
    server: ServerFile = None,
    study: Annotated[
        str | None, typer.Option("--study", help="A bundled study or a TOML file.")
    ] = None,
    allow_outside: Outside = False,
    runs: Annotated[
        int | None, typer.Option("--runs", help="Runs per cell, or in each experiment.")
    ] = None,
    experiments: Annotated[
        int | None, typer.Option("--experiments", help="Experiments, where there are several.")
    ] = None,
    judge: Annotated[
        str | None,
        typer.Option("--judge", help="pivots: a backend that reads the whole answers too."),
    ] = None,
    embed: Annotated[
        str | None,
        typer.Option("--embed", help="measures: [b]local[/b] or [b]openai[/b], embeds the texts."),
    ] = None,
    seed: Seed = 1,
    folder: Annotated[
        Path | None,
        typer.Option("--out", help="Folder for CSV, figures, text and kept responses."),
    ] = None,
    budget_usd: Dollars = None,
    prices: PriceList = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the estimate and ask nothing.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Run an experiment on belief itself; list them without a name.

    Example: [b]llmdemand lab variance --out lab[/b]
    """
    from llmdemand.core.study import load_study
    from llmdemand.lab.ask import Answerer, Respondent
    from llmdemand.lab.registry import EXPERIMENTS, experiment

    if name is None:
        if as_json:
            print_json([{"name": x.name, "question": x.question} for x in EXPERIMENTS.values()])
            return
        for one in EXPERIMENTS.values():
            say(f"{one.name:<14}{one.question}")
        return
    chosen = experiment(name)
    known = backend == "synthetic" and (model, base_url, server) == (None, None, None)
    answerer: Answerer = "synthetic"
    if not known:
        answerer = lambda s: backend_of(  # noqa: E731
            backend, s, model=model, base_url=base_url, server=server, prices=prices
        )
    store = None if known or folder is None else folder / "responses.sqlite"
    if store is not None:
        store.parent.mkdir(parents=True, exist_ok=True)
    respondent = Respondent(answerer, store=store, budget=budget(budget_usd, None))
    options: dict[str, Any] = {
        "study": study and load_study(study, allow_outside=allow_outside),
        "runs": runs,
        "experiments": experiments,
        "judge": judge,
        "embed": embed,
    }
    wanted = chosen.wanted(respondent, **options)
    chosen.checked(options)
    if judge is not None and not dry_run:
        options["judge"] = _judge(
            judge,
            folder,
            seed,
            respondent.budget,
            model=model,
            base_url=base_url,
            server=server,
            prices=prices,
        )
    if wanted and (dry_run or not known):
        expected = respondent.estimate(wanted, seed, price_list(prices))
        message = f"{chosen.name}: {expected}"
        if dry_run:
            if as_json:
                print_json({"experiment": chosen.name, "estimate": asdict(expected)})
            else:
                say(message)
            return
        err().print(message, highlight=False)
    elif dry_run:
        if as_json:
            asked_of = {"judge": judge, "texts": 0 if judge is None else _texts()}
            print_json({"experiment": chosen.name, "estimate": None, **asked_of})
            return
        asked = "asks nobody" if judge is None else f"asks {judge} to read {_texts()} answers"
        say(f"{chosen.name}: {asked}, its answers are shipped")
        return
    result = _run(chosen, respondent, seed, options)
    files = () if folder is None else result.save(folder)
    if as_json:
        tables = {k: records(t) for k, t in result.tables.items()}
        facts = {"holds": result.holds, "verdict": result.verdict, "tables": tables}
        print_json({**facts, "files": [str(path) for path in files]})
        return
    _show(result)
    for path in files:
        say(str(path))


def _judge(name: str, folder: Path | None, seed: int, most: Budget | None, **options: Any) -> Judge:
    """A backend that reads whole answers; what it says is kept where results are."""
    from llmdemand.core.study import load_study
    from llmdemand.simulation.judge import Judge

    store = ":memory:" if folder is None else folder / "judge.responses.sqlite"
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
    mode = "completion" if name == "local" else "chat"
    answerer = backend_of(name, load_study("pampers"), **options)
    return Judge(answerer, seed=seed, mode=mode, store=store, budget=most, progress=False)


def _texts() -> int:
    """Different texts that a judge would read."""
    from llmdemand.lab.finals import shipped

    return len({(question.menu, text) for question in shipped() for text in question.texts})


def _run(chosen: Experiment, respondent: Respondent, seed: int, options: dict[str, Any]) -> Result:
    """The experiment with a bar; where a model answers, each panel has a bar of its own."""
    from dataclasses import replace

    from rich.progress import Progress

    if not respondent.known and chosen.asks is not None:
        return chosen(replace(respondent, progress=lambda done: None), seed=seed, **options)
    with Progress(console=err(), transient=True) as bar:
        task = bar.add_task(chosen.name, total=1.0)
        shown = replace(respondent, progress=lambda done: bar.update(task, completed=done))
        return chosen(shown, seed=seed, **options)


def _show(result: Result) -> None:
    """Title, tables and verdict."""
    say(f"{result.title}\nAnswers: {result.source}; seed {result.seed}\n")
    for name, table in result.tables.items():
        if len(table) > _SHOWN:
            say(f"{name}: {len(table)} rows, written with --out\n")
            continue
        say(f"{name}\n{table.to_string(index=False, float_format=lambda v: f'{v:.4g}')}\n")
    say(result.verdict)
