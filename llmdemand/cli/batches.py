"""``llmdemand batch``: write, read."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from llmdemand.cli.app import App, app
from llmdemand.cli.options import (
    Api,
    AsJson,
    BaseUrl,
    Effort,
    ExtraBody,
    MeasureName,
    Outside,
    RespondentId,
    Respondents,
    Runs,
    Seed,
    StudyName,
    study_of,
)
from llmdemand.cli.options import extra_body as read_extra_body
from llmdemand.cli.output import panel_facts, print_json, refuse_overwriting, say, statuses
from llmdemand.cli.own.options import processes
from llmdemand.errors import PanelError

batch = App(help="Batch files for OpenAI or `vllm run-batch`.")
app.add_typer(batch, name="batch", no_args_is_help=True)

Folder = Annotated[Path, typer.Option("--out", help="Folder of the batch.")]


@batch.command()
def write(
    study: StudyName,
    folder: Folder,
    respondents: Respondents = None,
    respondent_id: RespondentId = None,
    allow_outside: Outside = False,
    measure: MeasureName = None,
    model: Annotated[str, typer.Option("--model", help="Model name.")] = "gpt-4o",
    base_url: BaseUrl = None,
    api: Api = None,
    reasoning_effort: Effort = None,
    extra_body: ExtraBody = None,
    runs: Runs = None,
    seed: Seed = 1,
    shard: Annotated[int, typer.Option("--shard", help="Most requests per file.")] = 50_000,
    as_json: AsJson = False,
    shards: Annotated[
        int | None, typer.Option("--shards", help="Files, in place of requests per file.")
    ] = None,
) -> None:
    """Write the requests that have no answer yet as JSONL shards.

    Example: [b]llmdemand batch write pampers --out batch --model gpt-4o[/b]
    """
    from llmdemand.simulation.batch import write_batch

    found = write_batch(
        study_of(study, respondents, respondent_id, allow_outside=allow_outside, measure=measure),
        folder,
        model=model,
        runs=runs,
        seed=seed,
        shard=shard,
        shards=shards,
        base_url=base_url,
        api=api,
        reasoning_effort=reasoning_effort,
        extra_body=read_extra_body(extra_body),
    )
    if as_json:
        files = {"folder": str(folder), "requests": [str(file) for file in found.files]}
        print_json({"requests": found.requests, "stored": found.stored, "files": files})
        return
    if not found.files:
        say(f"all {found.stored:,} answers are in {folder}: nothing to write")
        return
    names = ", ".join(file.name for file in found.files[:8])
    if len(found.files) > 8:
        names += f", ... {found.files[-1].name}"
    kept = f", {found.stored:,} are answered already" if found.stored else ""
    say(
        f"{found.requests:,} requests in {folder}: {names}{kept}\n"
        "Run them at OpenAI (Batches) or with `vllm run-batch -i FILE -o OUTPUT --model MODEL`, "
        f"then `llmdemand batch read {folder} OUTPUT...`"
    )
    if found.interfaces != ("/v1/chat/completions",) and base_url is not None:
        say(
            f"`vllm run-batch` knows no {', '.join(found.interfaces)}: ask with "
            "`llmdemand simulate`, or the chat interface with --api chat"
        )


@batch.command()
def read(
    folder: Annotated[Path, typer.Argument(help="Folder of the batch.")],
    files: Annotated[list[Path], typer.Argument(help="Output and error files, in any order.")],
    out: Annotated[
        Path | None,
        typer.Option("--out", help="A parquet file, or a folder for a panel in several files."),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option("--workers", help="Processes that read the files; one by default."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Read output and error files; keep the answers, list what is missing, write the panel.

    A panel too large for memory goes into a folder: [b]--out panel/[/b].

    Example: [b]llmdemand batch read batch output.jsonl errors.jsonl[/b]
    [b]llmdemand batch read batch outputs/*.jsonl --out panel/ --workers 2[/b]
    """
    from llmdemand.belief.measures.coherence import usable_words
    from llmdemand.core.panel import Panel
    from llmdemand.core.shards.shards import PanelShards
    from llmdemand.simulation.batch import read_batch

    path, workers = out or folder / "panel.parquet", processes(workers)
    if path.suffix == ".parquet":
        refuse_overwriting(path)
        found = read_batch(folder, files, workers=workers)
    else:
        found = read_batch(folder, files, out=path, workers=workers)
    if isinstance(found.panel, Panel) and len(found.panel):
        found.panel.write(path)
    if as_json:
        written = {"panel": path} if len(found.panel) else {}
        print_json(
            {
                "answered": found.answered,
                "known": found.known,
                "failed": dict(found.failed),
                "foreign": found.foreign,
                "unreadable": found.unreadable,
                "missing": list(found.missing),
                **panel_facts(found.panel, **written),
            }
        )
        return
    say(
        f"{found.answered:,} new answers, {found.known:,} known before, {found.foreign:,} lines of "
        f"other requests, {found.unreadable:,} unreadable lines"
    )
    for reason, number in found.failed.most_common():
        say(f"failed {number:,}: {reason}")
    if found.missing:
        shown = ", ".join(found.missing[:8]) + (", ..." if len(found.missing) > 8 else "")
        say(
            f"{len(found.missing):,} runs are missing ({shown}): the same `llmdemand batch write` "
            "writes them again"
        )
    if not len(found.panel):
        raise PanelError(f"no answer to the batch in {folder} yet: there is no panel to write")
    parts = f" in {len(found.panel.parts):,} files" if isinstance(found.panel, PanelShards) else ""
    say(f"panel: {path}, {len(found.panel):,} runs{parts}: {statuses(found.panel)}")
    if isinstance(found.panel, Panel) and (words := usable_words(found.panel)):
        say(words)
