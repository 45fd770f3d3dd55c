"""``llmdemand judge`` and ``llmdemand label``: other readers of whole answers."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from llmdemand.cli.app import App, app
from llmdemand.cli.options import (
    Api,
    AsJson,
    BackendName,
    BaseUrl,
    Concurrency,
    Dollars,
    ExtraBody,
    ModelName,
    PanelPath,
    PriceList,
    Seed,
    ServerFile,
    StorePath,
    Tokens,
    backend_of,
    budget,
    concurrency,
)
from llmdemand.cli.output import (
    err,
    one_panel,
    out,
    panel_facts,
    print_json,
    records,
    refuse_overwriting,
    say,
    told,
)
from llmdemand.errors import UsageError

if TYPE_CHECKING:
    from llmdemand.core.panel import Panel

label = App(help="Have people read answers; see how far other readers agree with them.")
app.add_typer(label, name="label", no_args_is_help=True)

Out = Annotated[Path, typer.Option("--out", help="The panel with the new readings.")]


@app.command()
def judge(
    panel: PanelPath,
    backend: BackendName = None,
    model: ModelName = None,
    base_url: BaseUrl = None,
    server: ServerFile = None,
    api: Api = None,
    extra_body: ExtraBody = None,
    mode: Annotated[
        str, typer.Option(help="[b]chat[/b], or [b]completion[/b] for models that continue a text.")
    ] = "chat",
    orders: Annotated[
        str,
        typer.Option(
            help="Order of the options: [b]rotate[/b], drawn for each text in a balanced design; "
            "[b]fixed[/b], the menu's in every text."
        ),
    ] = "rotate",
    path: Out = Path("judged.parquet"),
    store: StorePath = None,
    seed: Annotated[
        int, typer.Option("--seed", help="Seed of the judge's answers and of the orders.")
    ] = 1,
    budget_usd: Dollars = None,
    budget_tokens: Tokens = None,
    prices: PriceList = None,
    calls: Concurrency = "auto",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the estimate and ask nothing.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Let a language model read the final choice of every whole answer.

    Each different text is asked once, and kept.

    Example: [b]llmdemand judge panel.parquet --mode completion --out judged.parquet[/b]
    """
    from llmdemand.belief.auditing.position import judge_position
    from llmdemand.simulation.judge import Judge, judged, texts_of

    read = one_panel(panel)
    refuse_overwriting(path)
    kept = store or path.with_suffix(".responses.sqlite")
    refuse_overwriting(path, kept)
    answerer = backend_of(
        backend,
        read.study,
        model=model,
        base_url=base_url,
        server=server,
        api=api,
        extra_body=extra_body,
        prices=prices,
    )
    reader = Judge(
        answerer,
        seed=seed,
        mode=mode,
        orders=orders,
        store=kept,
        budget=budget(budget_usd, budget_tokens),
        concurrency=concurrency(calls),
        progress=told(),
    )
    expected = reader.estimate(
        texts_of(read), read.study.menu, outside_last=read.study.outside_last
    )
    estimated = {"model": answerer.model, "estimate": asdict(expected)}
    if dry_run:
        print_json(estimated) if as_json else say(str(expected))
        return
    err().print(f"judge, {answerer.model}: {expected}", highlight=False)
    found = judged(read, reader)
    found.write(path)
    if as_json:
        facts = panel_facts(found, panel=path, responses=kept) | {"readings": _counts(found)}
        print_json({**facts, **estimated, "position": judge_position(found)})
        return
    say(f"{_readings(found)}\n{judge_position(found)}\npanel: {path}\nresponses: {kept}")


@label.command("export")
def export_(
    panel: PanelPath,
    sample: Annotated[int, typer.Option(help="Answers to label, drawn at random.")] = 60,
    seed: Seed = 1,
    path: Annotated[Path, typer.Option("--out", help="The sheet.")] = Path("sheet.csv"),
    as_json: AsJson = False,
) -> None:
    """Write a sheet of answers for a person to label: write an option beside each.

    Example: [b]llmdemand label export panel.parquet --sample 60 --seed 1 --out sheet.csv[/b]
    """
    from llmdemand.belief.final.labels import UNREAD, sheet
    from llmdemand.core.sheets import write_csv

    if path.exists():
        raise UsageError(f"{path} exists already: give another path; labels are not overwritten")
    found = sheet(one_panel(panel), sample, seed)
    write_csv(found, path, mark=True)
    if as_json:
        print_json({"answers": len(found), "files": {"sheet": str(path)}})
        return
    say(
        f"{len(found)} answers in {path}: write into the column 'label' the option that each "
        f"chooses in the end, or {UNREAD}, then `llmdemand label import {panel} {path}`"
    )


@label.command("import")
def import_(
    panel: PanelPath,
    file: Annotated[Path, typer.Argument(help="The sheet, filled in.")],
    path: Out = Path("labelled.parquet"),
    as_json: AsJson = False,
) -> None:
    """Read a sheet of labels into a panel; print how far other readers agree.

    Example: [b]llmdemand label import panel.parquet sheet.csv --out labelled.parquet[/b]
    """
    import pandas as pd

    from llmdemand.belief.final.labels import agreement, labelled

    refuse_overwriting(path, file)
    if not file.is_file():
        raise UsageError(f"no sheet at {file}: `llmdemand label export` writes one")
    try:
        filled = pd.read_csv(file, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except (ValueError, UnicodeDecodeError) as error:
        raise UsageError(
            f"{file} cannot be read ({error}): save it as CSV with commas, in UTF-8"
        ) from None
    found = labelled(one_panel(panel), filled)
    found.write(path)
    table = agreement(found)
    if as_json:
        facts = {"agreement": records(table.reset_index()), "readings": _counts(found)}
        print_json({**panel_facts(found, panel=path), **facts})
        return
    for reader, row in table.to_dict("index").items():
        say(
            f"{reader}: agrees with the labels in {100 * row['agree']:.1f} % of {row['answers']} "
            f"answers ({100 * row['lower']:.1f} to {100 * row['upper']:.1f}), kappa "
            f"{row['kappa']:.2f} ({row['kappa_lower']:.2f} to {row['kappa_upper']:.2f}); reads "
            f"another choice in {100 * row['wrong']:.1f} %"
        )
    out().print(f"panel: {path}", highlight=False)


def _readings(panel: Panel) -> str:
    return f"{len(panel)} runs: " + ", ".join(f"{s} {n}" for s, n in _counts(panel).items())


def _counts(panel: Panel) -> dict[str, int]:
    """Numbers of runs by what was read of the whole answer."""
    return {str(s): int(n) for s, n in panel.frame["final_status"].value_counts().items()}
