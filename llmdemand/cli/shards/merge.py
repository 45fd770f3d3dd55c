"""``llmdemand merge``: shards of a panel, or stores, become one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from llmdemand.cli.app import app
from llmdemand.cli.options import AsJson
from llmdemand.cli.output import print_json, refuse_overwriting, say
from llmdemand.errors import UsageError

__all__ = ["merge"]


@app.command()
def merge(
    paths: Annotated[
        list[Path], typer.Argument(help="Panels, folders of panels, or response stores.")
    ],
    out: Annotated[
        Path,
        typer.Option("--out", help="A parquet file; a new folder of parts; or a store (.sqlite)."),
    ],
    allow_missing: Annotated[
        bool, typer.Option("--allow-missing", help="Join what is there, and say what is not.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Join the shards of a panel and prove that they are all of it; or join response stores.

    Refused: files of another study, seed, model or settings; two rows of one run that differ;
    missing runs. Rows that are there twice, to the last digit, are taken once and counted.

    Example: [b]llmdemand merge panel-*.parquet --out all.parquet[/b]
    """
    from llmdemand.core.shards.merged import merge_panels
    from llmdemand.simulation.storing.joining import merge_stores
    from llmdemand.simulation.storing.store import is_store

    absent = [path for path in paths if not path.exists()]
    if absent:
        raise UsageError(f"there is nothing at {absent[0]}: give panels, or response stores")
    stores = [path for path in paths if is_store(path)]
    if stores and len(stores) < len(paths):
        raise UsageError(
            f"{stores[0]} is a response store, and others are not: merge panels and stores apart"
        )
    if stores:
        joined = merge_stores(stores, out)
        if as_json:
            told = {"stores": joined.stores, "answers": joined.answers, "doubled": joined.doubled}
            print_json({**told, "other": list(joined.other)})
        else:
            say(f"{joined.summary()}\nstore: {out}")
        return
    if out.suffix == ".parquet":
        refuse_overwriting(out, *paths)
    merged = merge_panels(paths, out, allow_missing=allow_missing)
    if as_json:
        counts = {"files": merged.files, "wanted": merged.wanted, "doubled": merged.doubled}
        print_json({**counts, "missing": merged.missing, "differing": merged.differing})
        return
    say(f"{merged.summary()}\npanel: {out}")
    if merged.missing:
        named = ", ".join(merged.missing[:5]) + (", ..." if len(merged.missing) > 5 else "")
        say(f"{len(merged.missing):,} runs are missing: {named}")
