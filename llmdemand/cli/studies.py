"""``llmdemand studies``: list, show, new, export, import."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from llmdemand.cli.app import App, app
from llmdemand.cli.options import (
    AsJson,
    Outside,
    RespondentId,
    Respondents,
    StudyName,
    pairs,
    study_of,
)
from llmdemand.cli.output import out, print_json, say
from llmdemand.errors import UsageError

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
        print_json([_facts(s) for s in found])
        return
    for study in found:
        out().print(f"[b]{study.name}[/b]  {design(study)}", highlight=False)


@studies.command()
def show(
    study: StudyName,
    respondents: Respondents = None,
    respondent_id: RespondentId = None,
    allow_outside: Outside = False,
    tasks: Annotated[
        Path | None,
        typer.Option("--tasks", help="Write the tasks of a choice experiment to this CSV file."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show a study's design and its first prompt.

    Example: [b]llmdemand studies show pampers[/b]
    """
    from llmdemand.core.sheets import write_csv

    chosen = study_of(study, respondents, respondent_id, allow_outside=allow_outside)
    if tasks is not None:
        if tasks.exists():
            raise UsageError(f"--tasks {tasks} exists: give another path, or remove it first")
        write_csv(chosen.tasks(), tasks)
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
    if chosen.conjoint is not None:
        say("")
        # Tables that are too wide for the terminal are better cut by it than folded by us.
        out().print(
            chosen.inspect_design().summary(), markup=False, highlight=False, soft_wrap=True
        )
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
    conjoint: Annotated[
        bool, typer.Option("--conjoint", help="A choice experiment: attributes, levels, tasks.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Write a commented study file to begin from; it runs as it is.

    Example: [b]llmdemand studies new coffee.toml --conjoint[/b]
    """
    from llmdemand.core.starter import new_study

    written = new_study(path, name, conjoint=conjoint)
    if as_json:
        study = study_of(str(written), None, None)
        print_json({**_facts(study), "files": {"study": str(written)}})
        return
    say(
        f"{written}: change what it asks, then look at it with `llmdemand studies show {written}` "
        f"and try it with `llmdemand simulate {written} --backend synthetic`. It asks for the "
        "choice first, so that the token at which belief is read is the final choice"
    )


@studies.command()
def export(
    study: StudyName,
    path: Annotated[Path, typer.Option("--out", help="The JSON file to write.")],
    to: Annotated[str, typer.Option("--to", help="The format: [b]edsl[/b].")] = "edsl",
    respondents: Respondents = None,
    respondent_id: RespondentId = None,
    allow_outside: Outside = False,
    as_json: AsJson = False,
) -> None:
    """Write a study for another tool: a job of EDSL, which `edsl.Jobs.from_dict` reads.

    Example: [b]llmdemand studies export coffee-packs --to edsl --out coffee.json[/b]
    """
    import json

    from llmdemand.core.exchange.edsl import to_edsl

    if to != "edsl":
        raise UsageError(f"--to {to}: the one format is edsl")
    chosen = study_of(study, respondents, respondent_id, allow_outside=allow_outside)
    made = to_edsl(chosen)
    try:
        with path.open("x", encoding="utf-8", newline="\n") as file:
            json.dump(made.data, file, indent=1, ensure_ascii=False)
    except FileExistsError:
        raise UsageError(f"{path} exists: give another path, or remove it first") from None
    except OSError as error:
        raise UsageError(f"{path} cannot be written ({error.strerror})") from None
    if as_json:
        counts = {name: len(made.data[name]) for name in ("scenarios", "agents")}
        print_json({**counts, "notes": list(made.notes), "files": {to: str(path)}})
        return
    say(f"{path}: {len(made.data['scenarios'])} scenarios, {len(made.data['agents'])} agents")
    for note in made.notes:
        say(f"note: {note}")


@studies.command("import")
def import_(
    file: Annotated[Path, typer.Argument(help="JSON of an EDSL Jobs or Survey object.")],
    path: Annotated[Path, typer.Option("--out", help="The TOML file to write.")],
    question: Annotated[
        str | None, typer.Option("--question", help="Which question, where there are several.")
    ] = None,
    scenarios: Annotated[
        Path | None, typer.Option("--scenarios", help="JSON of a ScenarioList, for a survey.")
    ] = None,
    agents: Annotated[
        Path | None, typer.Option("--agents", help="JSON of an AgentList, for a survey.")
    ] = None,
    price: Annotated[
        list[str] | None,
        typer.Option("--price", help="ID=FIELD: the scenarios' field of an option's price."),
    ] = None,
    kind: Annotated[
        str | None, typer.Option("--kind", help="[b]rating[/b]: options are points of a scale.")
    ] = None,
    outside: Annotated[
        str | None, typer.Option("--outside", help="The option that is no purchase.")
    ] = None,
    unit: Annotated[str, typer.Option("--unit", help="Unit of prices.")] = "currency units",
    as_json: AsJson = False,
) -> None:
    """Write a study from a question of an EDSL survey.

    Example: [b]llmdemand studies import coffee.json --out coffee.toml[/b]
    """
    from llmdemand.core.exchange.imported import from_edsl
    from llmdemand.core.exchange.toml import write_study

    found = from_edsl(
        file,
        question=question,
        scenarios=scenarios,
        agents=agents,
        prices=pairs(price, "price") if price else None,
        kind=kind,
        outside=outside,
        unit=unit,
        name=path.stem,
    )
    write_study(found.study, path)
    if as_json:
        facts = {**_facts(found.study), "notes": list(found.notes)}
        print_json({**facts, "files": {"study": str(path)}})
        return
    say(f"{path}: {design(found.study)}")
    for note in found.notes:
        say(f"note: {note}")


def _facts(study: Study) -> dict[str, Any]:
    """What ``--json`` says of a study."""
    return {"name": study.name, "title": study.title, "cells": len(study.cells())}


def design(study: Study) -> str:
    """A study in one line."""
    grid = study.prices[study.focal]
    who = "respondents" if study.respondents else "personas"
    personas = f", {len(study.personas)} {who}" if study.personas else ""
    own = ", each persona's own" if study.focal in study.price_fields else ""
    label = f" ({study.label})" if study.label else ""
    cells = f"{len(study.cells())} cells"
    if study.conjoint is not None:
        given = study.conjoint
        held = f" and {given.holdouts} holdouts" if given.holdouts else ""
        cells += f", {given.total} choice tasks{held}"
        cells += f" in {given.blocks} blocks" if given.blocks > 1 else ""
    if study.attributes:
        names = (f"{x.name} ({len(x.levels)})" for x in study.attributes)
        cells += f", attributes {', '.join(names)}"
    if study.points is not None:
        cells += f" of {study.full_size}"
    return (
        f"{study.title or study.name}{label}: {cells}{personas}; price of "
        f"{study.priced(study.focal).label} {min(grid):g} to {max(grid):g} {study.unit}{own}; "
        f"{study.runs} run{'s' if study.runs > 1 else ''} per cell"
    )
