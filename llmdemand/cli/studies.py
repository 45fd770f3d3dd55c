"""``llmdemand studies``: list, show, new."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from llmdemand.cli.app import App, app
from llmdemand.cli.options import AsJson, Outside, RespondentId, Respondents, StudyName, study_of
from llmdemand.cli.output import out, print_json, say

if TYPE_CHECKING:
    from llmdemand.core.study import Study

studies = App()
app.add_typer(studies, name="studies")


@studies.callback(invoke_without_command=True)
def default(context: typer.Context, as_json: AsJson = False) -> None:
    """List the bundled studies, show one, or write a new one.

    Example: [b]llmdemand studies show pampers[/b]
    """
    if context.invoked_subcommand is None:
        listed(as_json)


@studies.command("list")
def listed(as_json: AsJson = False) -> None:
    """List the bundled studies.

    Example: [b]llmdemand studies list[/b]
    """
    from llmdemand.core.study import load_study
    from llmdemand.core.study import studies as bundled

    found = [load_study(name) for name in bundled()]
    if as_json:
        print_json([{"name": s.name, "title": s.title, "cells": len(s.cells())} for s in found])
        return
    for study in found:
        out().print(f"[b]{study.name}[/b]  {design(study)}", highlight=False)


@studies.command()
def show(
    study: StudyName,
    respondents: Respondents = None,
    respondent_id: RespondentId = None,
    allow_outside: Outside = False,
    as_json: AsJson = False,
) -> None:
    """Show a study's design and its first prompt.

    Example: [b]llmdemand studies show pampers[/b]
    """
    chosen = study_of(study, respondents, respondent_id, allow_outside=allow_outside)
    if as_json:
        print_json(chosen.to_dict())
        return
    cell = chosen.cells()[0]
    say(design(chosen))
    variants: list[str | None] = [v.id for v in chosen.variants]
    for variant in variants or [None]:
        for arm in chosen.arms:
            named = ", ".join(x for x in (variant, arm if len(chosen.arms) > 1 else None) if x)
            one = next(c for c in chosen.cells() if (c.variant, c.arm) == (variant, arm))
            system, user = chosen.prompt(one, chosen.order(one, 0))
            title = f"[{named}]\n" if named else ""
            say(f"\n{title}{system}\n\n{user}".rstrip())
    orders = {chosen.order(cell, r) for r in range(2 * len(chosen.option_orders()))}
    if len(orders) > 1 or chosen.orders == "cross":
        many = [" > ".join(order) for order in chosen.option_orders()]
        say(f"\noption orders ({chosen.orders}): " + "; ".join(many))


@studies.command()
def new(
    path: Annotated[Path, typer.Argument(help="The TOML file to write.")],
    name: Annotated[
        str | None, typer.Option("--name", help="The study's name; the file's by default.")
    ] = None,
) -> None:
    """Write a commented study file to begin from; it runs as it is.

    Example: [b]llmdemand studies new coffee.toml[/b]
    """
    from llmdemand.core.starter import new_study

    written = new_study(path, name)
    say(
        f"{written}: change what it asks, then look at it with `llmdemand studies show {written}` "
        f"and try it with `llmdemand simulate {written} --backend synthetic`. It asks for the "
        "choice first, so that the token at which belief is read is the final choice"
    )


def design(study: Study) -> str:
    """A study in one line."""
    grid = study.prices[study.focal]
    who = "respondents" if study.respondents else "personas"
    personas = f", {len(study.personas)} {who}" if study.personas else ""
    own = ", each persona's own" if study.focal in study.price_fields else ""
    label = f" ({study.label})" if study.label else ""
    cells = f"{len(study.cells())} cells"
    if study.points is not None:
        cells += f" of {study.full_size}"
    return (
        f"{study.title or study.name}{label}: {cells}{personas}; price of "
        f"{study.priced(study.focal).label} {min(grid):g} to {max(grid):g} {study.unit}{own}; "
        f"{study.runs} run{'s' if study.runs > 1 else ''} per cell"
    )
