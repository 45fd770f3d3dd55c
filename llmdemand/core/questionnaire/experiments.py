"""Attributes and choice tasks, as TOML gives them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from llmdemand.core.experiment.attributes import Attribute
from llmdemand.core.experiment.conjoint import Conjoint
from llmdemand.core.experiment.listed import read_tasks
from llmdemand.core.experiment.space import Space
from llmdemand.core.questionnaire.fields import only_known, texts, typed
from llmdemand.errors import StudyError

__all__ = ["read_attributes", "read_conjoint"]

_KINDS = {"method": str, "blocks": int, "holdouts": int, "seed": int, "labelled": bool}


def read_attributes(data: Any) -> tuple[Attribute, ...]:
    """Attributes by name: a list of levels, or a table of the fields of `Attribute`.

    A list of such tables, each with its ``name``, is the same.

    Raises
    ------
    StudyError
        Naming the attribute and what is wrong with it.

    Examples
    --------
    >>> [a.levels for a in read_attributes({"size": ["small", "large"]})]
    [('small', 'large')]
    """
    found = []
    if isinstance(data, list):
        data = _by_name(data)
    for name, entry in typed(data, dict, "attributes").items():
        where = f"attributes.{name}"
        table = {"levels": entry} if isinstance(entry, list) else typed(entry, dict, where)
        only_known(
            table, ["levels", "texts", "alternatives", "absent", "linear"], f"field of {where}"
        )
        if "levels" not in table:
            raise StudyError(f"{where} has no levels: give a list of them")
        absent = table.get("absent")
        found.append(
            Attribute(
                name,
                tuple(typed(table["levels"], list, f"{where}.levels")),
                texts(table.get("texts", ()), f"{where}.texts"),
                texts(table.get("alternatives", ()), f"{where}.alternatives"),
                None if absent is None else typed(absent, str, f"{where}.absent"),
                typed(table.get("linear", False), bool, f"{where}.linear"),
            )
        )
    return tuple(found)


def _by_name(data: list[Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for entry in data:
        table = dict(typed(entry, dict, "attributes"))
        name = typed(table.pop("name", None), str, "attributes: the name of one")
        if name in found:
            raise StudyError(f"attributes: {name!r} is there twice; rename one")
        found[name] = table
    return found


def read_conjoint(
    data: Any, folder: Path | Traversable, space_of: Callable[[Conjoint], Space]
) -> Conjoint:
    """Choice tasks: how many, made how, or which.

    Parameters
    ----------
    data : Any
        The table ``[conjoint]``.
    folder : path
        Where a table of tasks lies that it names (``file``).
    space_of : callable
        The tasks that its levels and prohibitions make.

    Raises
    ------
    StudyError
        Naming the field and what it has to be.
    """
    given = typed(data, dict, "conjoint")
    known = ["tasks", *_KINDS, "prior", "prohibited", "file", "design", "block"]
    only_known(given, known, "field of conjoint")
    if ("tasks" in given) == ("file" in given):
        raise StudyError(
            "conjoint.tasks is missing: say how many choice tasks there are, or name their file"
            if "tasks" not in given
            else "conjoint has tasks and a file, which says how many there are: remove one"
        )
    stages = given.get("tasks", 1)
    stages = stages if isinstance(stages, list) else [stages]
    rows = typed(given.get("design", []), list, "conjoint.design")
    barred = typed(given.get("prohibited", []), list, "conjoint.prohibited")
    found = Conjoint(
        tuple(typed(n, int, "conjoint.tasks") for n in stages),
        **{k: typed(given[k], kind, f"conjoint.{k}") for k, kind in _KINDS.items() if k in given},
        prior=typed(given.get("prior", {}), dict, "conjoint.prior"),
        prohibited=tuple(typed(entry, dict, "conjoint.prohibited") for entry in barred),
        design=tuple(tuple(typed(row, list, "conjoint.design")) for row in rows),
        block=tuple(typed(given.get("block", []), list, "conjoint.block")),
    )
    return _of_file(given, found, folder, space_of) if "file" in given else found


def _of_file(
    given: dict[str, Any],
    found: Conjoint,
    folder: Path | Traversable,
    space_of: Callable[[Conjoint], Space],
) -> Conjoint:
    """The tasks of a table, which says all that its fields would."""
    said = [k for k in ("method", "blocks", "holdouts", "seed", "design", "block") if k in given]
    if said:
        raise StudyError(
            f"conjoint.file holds the tasks, and conjoint.{said[0]} says how to make others: "
            "remove one"
        )
    name = typed(given["file"], str, "conjoint.file")
    if Path(name).is_absolute() or ".." in Path(name).parts:
        raise StudyError(
            f"conjoint.file is {name!r}, which lies outside of the study's folder: put the table "
            "beside the study"
        )
    path = folder.joinpath(name)
    if not path.is_file():
        raise StudyError(f"{path}: no such file; give a table of tasks (CSV)")
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError:
        raise StudyError(f"{path}: is not UTF-8 text; save it as CSV (UTF-8)") from None
    return replace(found, method="given", **read_tasks(text, str(path), space_of(found)))
