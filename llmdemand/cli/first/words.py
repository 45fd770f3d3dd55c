"""``llmdemand explain``: the words of the results."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from llmdemand.cli.app import app
from llmdemand.cli.options import AsJson
from llmdemand.cli.output import print_json, say


@app.command()
def explain(
    word: Annotated[
        str | None, typer.Argument(help="A word of the results; without one they are listed.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Explain a word that results print.

    Example: [b]llmdemand explain rho[/b]
    """
    from llmdemand.core.glossary import explain as meaning
    from llmdemand.core.glossary import terms

    found = list(terms().values()) if word is None else [meaning(word)]
    if as_json:
        print_json([asdict(term) for term in found])
    elif word is None:
        say("\n".join(term.name for term in found))
    else:
        say(str(found[0]))
