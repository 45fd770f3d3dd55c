"""The application that the commands register with, and its entry point."""

from __future__ import annotations

import sys

import typer

from llmdemand.errors import LLMDemandError

__all__ = ["app", "main"]

app = typer.Typer(
    help="Demand estimation with language models: what they say, and how sure they were.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)


def main() -> None:
    """Entry point: a user's mistake is one line and exit code 2."""
    import warnings

    warnings.showwarning = lambda message, *_, **__: typer.echo(f"warning: {message}", err=True)
    try:
        app()
    except (LLMDemandError, OSError) as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(2)
