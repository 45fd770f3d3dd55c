"""Pages that are made of the package itself: names, commands, errors, statuses, words."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from pathlib import PurePath
from typing import Any

import typer

import llmdemand
from llmdemand import errors
from llmdemand.core.glossary import Term, terms
from llmdemand.core.panel import FINAL_STATUSES, STATUSES, USABLE

__all__ = ["pages"]

#: Rooms of the package, and the tasks that they are for. Another room gets a page of its own.
TASKS = {
    "core": ("Studies and panels", "What is asked, and what came back."),
    "simulation": ("Asking models", "From a study to answers, and what they cost."),
    "belief": ("Pivots and beliefs", "From answers to beliefs, and whether these can be trusted."),
    "modeling": ("Demand models", "From a table to demand, and what follows from it."),
    "reporting": ("Comparing and planning", "Precision, runs needed, prediction, the report."),
    "calibration": ("From the model to people", "Human answers beside beliefs."),
}


def pages() -> dict[str, str]:
    """The pages of the reference by file name, in the order in which they are read."""
    return {
        **_names(),
        "command-line.md": _commands(),
        "errors.md": _errors(),
        "statuses.md": _statuses(),
        "glossary.md": _glossary(),
    }


def _names() -> dict[str, str]:
    """A page for each task, with all public names of its room; what is raised has one below."""
    rooms: dict[str, list[str]] = {room: [] for room in TASKS}
    for name in sorted(set(llmdemand.__all__) - set(_raised())):
        room = llmdemand._HOMES[name].split(".")[0]
        rooms.setdefault(room, []).append(name)
    index = ["# Reference", "All public names: `import llmdemand as ld`, then `ld.simulate`, ..."]
    made = {}
    for room, names in rooms.items():
        title, text = TASKS.get(room, (room.capitalize(), ""))
        file = f"{room}.md"
        listed = "\n".join(_row(n, f"#llmdemand.{n}") for n in names)
        entries = "\n\n".join(f"::: llmdemand.{name}" for name in names)
        made[file] = f"# {title}\n\n{text}\n\n{_HEAD}\n{listed}\n\n{entries}\n"
        linked = "\n".join(_row(n, f"{file}#llmdemand.{n}") for n in names)
        index += [f"## {title}", text, f"{_HEAD}\n{linked}"]
    linked = "\n".join(_row(n, f"errors.md#llmdemand.{n}") for n in _raised())
    index += ["## Errors and warnings", "What is raised, and what to do.", f"{_HEAD}\n{linked}"]
    return {"index.md": "\n\n".join(index) + "\n", **made}


_HEAD = "| name | what it is |\n| --- | --- |"


def _row(name: str, link: str) -> str:
    """A name and the first sentence of its documentation."""
    said = inspect.getdoc(getattr(llmdemand, name)) or ""
    return f"| [`{name}`]({link}) | {_cell(said.split(chr(10) * 2)[0])} |"


def _cell(text: str) -> str:
    """Text that stands in a table."""
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")


def _raised() -> list[str]:
    """Public exceptions and warnings."""
    found = ((name, getattr(llmdemand, name)) for name in llmdemand.__all__)
    return [n for n, v in found if inspect.isclass(v) and issubclass(v, Exception)]


def _errors() -> str:
    """What is raised, what it means, and what to do."""
    known = terms()
    others = [n for n in errors.__all__ if inspect.isclass(getattr(errors, n))]
    tree = (inspect.getdoc(errors) or "").split("\n\n")[1]
    parts = [
        "# Errors and warnings",
        "Every message says what was found, what was expected and what to do; on the command line "
        "it is one line, and the exit code is 2. What is raised on purpose is one of these:",
        f"```text\n{inspect.cleandoc(tree)}\n```",
    ]
    for name in dict.fromkeys(["LLMDemandError", *others, *_raised()]):
        owner = llmdemand if name in llmdemand.__all__ else errors
        said = _said(known[name]) if name in known else inspect.getdoc(getattr(owner, name))
        parts.append(f"## {name} {{#{owner.__name__}.{name}}}\n\n{said}")
    return "\n\n".join(parts) + "\n"


def _statuses() -> str:
    """What can be said of a run, and what to do about it."""
    known = terms()
    parts = [
        "# Statuses of runs",
        "A row that cannot be read is a status, never an exception, and is never dropped silently. "
        f"Only {' and '.join(f'`{s}`' for s in USABLE)} enter fits unless asked otherwise.",
    ]
    parts += [f"## {status}\n\n{_said(known[status])}" for status in STATUSES]
    rows = "\n".join(f"| `{status}` | {_cell(text)} |" for status, text in FINAL_STATUSES.items())
    parts.append(f"## Final choices\n\n| `final_status` | what it means |\n| --- | --- |\n{rows}")
    return "\n\n".join(parts) + "\n"


def _glossary() -> str:
    """The words of the results, without those that have a page of their own."""
    elsewhere = {*STATUSES, *errors.__all__, *_raised()}
    parts = ["# Glossary", "`llmdemand explain rho` says the same on the command line."]
    for name, term in terms().items():
        if name not in elsewhere:
            also = f"*Also: {', '.join(term.also)}.*" if term.also else ""
            parts.append("\n\n".join(filter(None, [f"## {name}", also, _said(term)])))
    return "\n\n".join(parts) + "\n"


def _said(term: Term) -> str:
    """What a word means, its formula, and the page that says more."""
    text = term.text.removeprefix("Status of a run: ").replace("<", "&lt;")
    formula = f"```text\n{term.formula}\n```" if term.formula else ""
    page = term.where.removeprefix("docs/") if term.where.endswith(".md") else ""
    more = f"More: [{PurePath(page).stem.replace('-', ' ')}](../{page})" if page else ""
    return "\n\n".join(filter(None, [text[:1].upper() + text[1:], formula, more]))


def _commands() -> str:
    """Every command with its arguments and options."""
    from llmdemand.cli import app

    root = typer.main.get_command(app)
    parts = [
        "# Command line",
        "`llmdemand COMMAND --help` says the same; exit code 2 is a mistake in what was typed.",
    ]
    for names, command in _walked(root, ("llmdemand",)):
        text, _, example = inspect.cleandoc(command.help or "").partition("Example: ")
        parts += [f"## {' '.join(names[1:])}", _cell(text)]
        parts += [f"```sh\n{_plain(example)}\n```"] if example else []
        rows = [_option(p) for p in command.params if not getattr(p, "hidden", False)]
        parts += ["| option | what it does |\n| --- | --- |\n" + "\n".join(rows)] if rows else []
    return "\n\n".join(parts) + "\n"


def _walked(command: Any, names: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Commands that can be typed, groups opened."""
    for name, found in sorted(getattr(command, "commands", {}).items()):
        if getattr(found, "commands", None):
            yield from _walked(found, (*names, name))
        elif not found.hidden:
            yield (*names, name), found


def _option(parameter: Any) -> str:
    """One argument or option, with its default."""
    name = ", ".join(parameter.opts) if parameter.param_type_name == "option" else parameter.name
    said = re.sub(r"\[/?\w+\]", "", getattr(parameter, "help", None) or "")
    default = parameter.default
    if isinstance(default, str | int | float) and not isinstance(default, bool) and default != "":
        said += f" By default `{default}`."
    return f"| `{name}` | {_cell(said)} |"


def _plain(example: str) -> str:
    """Examples without the marks of the terminal, a line each."""
    lines = example.replace("[/b]", "").split("[b]")
    return "\n".join(" ".join(line.split()).strip(" ,;") for line in lines if line.strip())
