"""``llmdemand similarity``: texts measured by anchor statements."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from llmdemand.cli.app import app
from llmdemand.cli.measures.audit import coherence_facts
from llmdemand.cli.options import AsJson, BaseUrl, KeyEnv, PanelPath, Timeout
from llmdemand.cli.output import (
    one_panel,
    panel_facts,
    print_json,
    refuse_overwriting,
    say,
    statuses,
)


@app.command()
def similarity(
    panel: PanelPath,
    embed: Annotated[
        str, typer.Option("--embed", help="[b]local[/b] or [b]openai[/b] (/v1/embeddings).")
    ] = "local",
    model: Annotated[
        str | None,
        typer.Option("--model", help="A GGUF file (local) or an embedding model (openai)."),
    ] = None,
    base_url: BaseUrl = None,
    key_env: KeyEnv = None,
    timeout: Timeout = None,
    anchors: Annotated[
        Path | None,
        typer.Option(
            "--anchors", help="TOML: a list of statements for each alternative, or templates."
        ),
    ] = None,
    epsilon: Annotated[
        float, typer.Option(help="What the least similar alternative is given, from 0.")
    ] = 0.0,
    temperature: Annotated[
        float, typer.Option(help="Above 1 flatter probabilities, below 1 sharper ones.")
    ] = 1.0,
    path: Annotated[Path, typer.Option("--out", help="The panel of similarities.")] = Path(
        "similarity.parquet"
    ),
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be embedded, and embed nothing.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Measure free texts by their similarity to anchor statements; for models without belief.

    Example: [b]llmdemand similarity panel.parquet --embed local --out similarity.parquet[/b]
    """
    from llmdemand.belief.measures.anchors import Anchors, read_anchors
    from llmdemand.belief.measures.coherence import check_coherence
    from llmdemand.belief.measures.similarity import by_similarity, texts_of
    from llmdemand.simulation.embeddings import embedder_named

    read = one_panel(panel)
    refuse_overwriting(path, panel)
    menu = read.study.menu
    statements = Anchors.of(menu) if anchors is None else read_anchors(anchors, menu)
    different = set(texts_of(read)) - {""}
    if dry_run:
        size = sum(len(text.encode()) for text in different)
        many = statements.sets * len(menu)
        if as_json:
            counts = {"texts": len(different), "answers": len(read), "bytes": size}
            print_json({**counts, "anchors": many, "embedder": embed})
            return
        say(
            f"{len(different)} different texts of {len(read)} answers, {size:,} bytes, and "
            f"{many} anchor statements would be embedded by {embed}"
        )
        return
    server = {"base_url": base_url, "key_env": key_env, "timeout": timeout}
    embedder = embedder_named(embed, model, **server)
    found = by_similarity(read, embedder, statements, epsilon=epsilon, temperature=temperature)
    found.write(path)
    if as_json:
        facts = {"embedder": embedder.name, "coherence": coherence_facts(check_coherence(found))}
        print_json({**panel_facts(found, panel=path), **facts})
        return
    say(f"{len(found)} runs: {statuses(found)}\npanel: {path}\nembeddings: {embedder.name}")
    say(check_coherence(found).summary())
