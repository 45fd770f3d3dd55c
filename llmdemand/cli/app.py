"""The application that the commands register with, and its entry point."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from llmdemand.errors import LLMDemandError

__all__ = ["App", "app", "main"]


class Command(TyperCommand):
    """A command whose examples are printed as they are typed: a line each, however long."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """The usual help, then the examples."""
        whole = self.help or ""
        text, _, rest = whole.partition("Example: ")
        self.help = text.rstrip()
        try:
            super().format_help(ctx, formatter)
        finally:
            self.help = whole
        examples = [
            " ".join(found.split()) for found in re.findall(r"\[b\](.*?)\[/b\]", rest, re.S)
        ]
        if examples:
            typer.echo(
                "\n ".join([" Examples:" if examples[1:] else " Example:", *examples]) + "\n"
            )


# The commands as a study goes through them; what is not named comes last.
_ORDER = (
    "doctor model explain studies replicate simulate probe batch extract audit judge label store "
    "similarity fit compare conjoint plan calibrate transport multiverse lab"
).split()


class Commands(TyperGroup):
    """The commands in the order of a study."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Names, in order."""
        place = {name: k for k, name in enumerate(_ORDER)}
        return sorted(super().list_commands(ctx), key=lambda name: place.get(name, len(place)))


class App(typer.Typer):
    """Commands that show their examples whole."""

    def command(self, name: str | None = None, **options: Any) -> Callable[[Any], Any]:
        """Register a command."""
        return super().command(name, **{"cls": Command, **options})


app = App(
    cls=Commands,
    help="Demand estimation with language models: what they say, and how sure they were.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)


def _version(wanted: bool) -> None:
    if wanted:
        import llmdemand

        typer.echo(f"llmdemand {llmdemand.__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option("--version", help="Print the version.", callback=_version, is_eager=True),
    ] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Results, warnings and errors only.")
    ] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Also what happens: calls, waits, files.")
    ] = False,
) -> None:
    """Demand estimation with language models: what they say, and how sure they were."""
    from llmdemand.cli.output import loudness

    loudness(quiet=quiet, verbose=verbose)


def main() -> None:
    """Entry point: a user's mistake is one line and exit code 2."""
    import warnings

    warnings.showwarning = lambda message, *_, **__: typer.echo(f"warning: {message}", err=True)
    try:
        app()
    except (LLMDemandError, OSError) as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(2)
