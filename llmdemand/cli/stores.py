"""``llmdemand store``: info, check, trim, export, import."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from llmdemand.cli.app import App, app
from llmdemand.cli.options import AsJson
from llmdemand.cli.output import print_json, say
from llmdemand.errors import StoreError, UsageError

store = App(help="Look into a response store; bring it to JSONL and back.")
app.add_typer(store, name="store", no_args_is_help=True)

Existing = Annotated[Path, typer.Argument(help="A response store (.sqlite).")]


@store.command()
def info(path: Existing, as_json: AsJson = False) -> None:
    """Who answered how often, what it cost, and what the answers take on disk.

    Example: [b]llmdemand store info panel.responses.sqlite[/b]
    """
    from llmdemand.simulation.storing.store import Store

    _there(path)
    with Store(path) as opened:
        rows: list[dict[str, Any]] = [
            {
                "name": name,
                "backend": source.backend,
                "model": source.model,
                "settings": json.loads(source.settings),
                **opened.totals(source),
                "studies": opened.studies(source),
                "probed": opened.probe(source) is not None,
            }
            for name, source in opened.named_sources().items()
        ]
        sizes = opened.sizes()
    if as_json:
        print_json(rows if not rows else [{**row, "store": sizes} for row in rows])
        return
    for row in rows:
        cost = f", ${row['usd']:.4g}" if row["usd"] else ""
        say(
            f"{row['name']}: {row['responses']:,} responses, {row['prompt_tokens']:,.0f} tokens "
            f"read, {row['completion_tokens']:,.0f} written{cost}; studies "
            + ", ".join(f"{study} ({n:,})" for study, n in row["studies"].items())
        )
        if "#" in row["name"]:
            say(f"    {json.dumps(row['settings'])}")
    if not rows:
        say("the store is empty")
        return
    say(
        f"on disk: {sizes['stored'] / sizes['answers']:,.0f} bytes an answer with all; as JSON "
        f"{sizes['raw'] / sizes['answers']:,.0f} ({sizes['ratio']:.1f} times as many; mean of "
        f"{sizes['sampled']:,} answers)"
    )
    if sizes["trimmed"]:
        say(
            f"{sizes['trimmed']:,} of these {sizes['sampled']:,} were trimmed (`candidates_kept`): "
            "another menu or reading may find less in them"
        )


@store.command()
def check(
    path: Existing,
    drop: Annotated[
        bool, typer.Option("--drop", help="Take damaged answers out: they are asked again.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Read every response; name those that are damaged. Exit code 1 if there are any.

    Example: [b]llmdemand store check panel.responses.sqlite[/b]
    """
    from llmdemand.simulation.storing.store import Store

    _there(path)
    with Store(path) as opened:
        number = len(opened)
        found = list(opened.damaged())
        for _, key, _, _ in found if drop else ():
            opened.drop(key)
    if as_json:
        rows = [
            {"backend": s.backend, "model": s.model, "key": key, "run": run, "trouble": trouble}
            for s, key, run, trouble in found
        ]
        print_json({"answers": number, "damaged": rows, "dropped": len(found) if drop else 0})
    else:
        for *_, trouble in found:
            say(trouble)
        more = ", taken out" if drop and found else ""
        say(f"{number:,} answers read, {len(found):,} damaged{more}")
    if found:
        raise typer.Exit(1)


@store.command()
def trim(
    path: Existing,
    out: Annotated[Path, typer.Option("--out", help="The new store; the old one stays.")],
    keep: Annotated[
        int, typer.Option("--keep", help="Most likely candidates to keep at a position.")
    ] = 5,
    as_json: AsJson = False,
) -> None:
    """Write a store with fewer candidates: pivots whole, elsewhere the drawn token and a few.

    Every answer's row stays the same to the last bit, or the answer is kept whole. Another menu
    or reading may find less later: keep the old store as long as you may want one.

    Example: [b]llmdemand store trim panel.responses.sqlite --out small.sqlite --keep 5[/b]
    """
    from llmdemand.simulation.storing.trimming import trim_store

    _there(path)
    found = trim_store(path, out, keep)
    if as_json:
        print_json({**asdict(found), "files": {"store": str(out)}})
        return
    before, after = path.stat().st_size, out.stat().st_size
    say(f"{found.summary()}\n{out}: {after:,} bytes, {path} has {before:,}")


@store.command("export")
def export_(
    path: Existing,
    file: Annotated[Path, typer.Argument(help="The JSONL file to write.")],
    as_json: AsJson = False,
) -> None:
    """Write every response as a JSON line.

    Example: [b]llmdemand store export panel.responses.sqlite responses.jsonl[/b]
    """
    from llmdemand.core import written
    from llmdemand.simulation.storing.store import Store

    _there(path)
    if file.exists():
        raise UsageError(f"{file} exists already: give another path; nothing is overwritten")
    number = 0
    # A copy of the store: for its owner alone, as that is.
    with Store(path) as opened, written.opened(file) as lines:
        for entry in opened.export():
            lines.write(json.dumps(entry, separators=(",", ":")) + "\n")
            number += 1
    if as_json:
        print_json({"responses": number, "files": {"responses": str(file)}})
        return
    say(f"{number:,} responses in {file}")


@store.command("import")
def import_(
    path: Annotated[Path, typer.Argument(help="The store; made where there is none.")],
    files: Annotated[list[Path], typer.Argument(help="JSONL files that `store export` wrote.")],
    as_json: AsJson = False,
) -> None:
    """Bring exported or rescued responses into a store; what it holds is kept.

    Example: [b]llmdemand store import panel.responses.sqlite responses.jsonl[/b]
    """
    from llmdemand.simulation.storing.store import Store

    read: list[dict[str, Any]] = []
    missing = [file for file in files if not file.is_file()]
    if missing:
        raise UsageError(f"no file at {missing[0]}: give JSONL files of `llmdemand store export`")
    with Store(path) as opened:
        for file in files:
            new, known = opened.import_lines(file)
            read.append({"file": str(file), "new": new, "known": known})
            if not as_json:
                say(f"{file}: {new:,} responses are new, {known:,} were there")
    if as_json:
        print_json({"read": read, "files": {"store": str(path)}})


def _there(path: Path) -> None:
    if not path.is_file():
        raise StoreError(f"no response store at {path}: `llmdemand simulate` writes one")
