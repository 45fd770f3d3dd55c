"""Agents of EDSL as a table of respondents."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from llmdemand.core.written import json_of
from llmdemand.errors import StudyError

__all__ = ["ID", "agents_table", "is_agents"]

#: Column of an agent's name, or of its number where it has none.
ID = "respondent_id"
_OWN = frozenset(["edsl_version", "edsl_class_name"])


def is_agents(table: Any) -> bool:
    """Whether this is an AgentList, or what its ``to_dict()`` gives."""
    if type(table).__name__ == "AgentList" and hasattr(table, "to_dict"):
        return True
    return isinstance(table, Mapping | list)


def agents_table(source: Any, id: str = ID) -> tuple[str, list[str], Iterator[list[str]]]:
    """What agents are called in messages, their columns, and their rows as texts.

    Parameters
    ----------
    source : path, mapping, list or AgentList
        An EDSL AgentList, its dictionary, the JSON file of that (also of a Jobs object, which
        holds agents), or a list of plain records, one for each person.
    id : str
        The column of ids to make: an agent's name, or ``agent-1``, ``agent-2``, ... where it has
        none. Records that have this field keep it.

    Raises
    ------
    StudyError
        For what is no list of agents, and for traits that are no text or number.

    Notes
    -----
    Traits become columns; of agents that lack one it is missing. An ``instruction`` becomes the
    column ``instruction``. What else EDSL keeps (codebooks, presentation templates) is how EDSL
    words traits; here the templates of the study do.

    Examples
    --------
    >>> _, names, rows = agents_table({"agent_list": [{"traits": {"age": 30}, "name": "ann"}]})
    >>> names, list(rows)
    (['respondent_id', 'age'], [['ann', '30']])
    """
    where, data = _loaded(source)
    if isinstance(data, Mapping):
        data = data.get("agent_list", data.get("agents"))
        if isinstance(data, Mapping):
            data = data.get("agent_list")
    if not isinstance(data, list) or not all(isinstance(agent, Mapping) for agent in data):
        raise StudyError(
            f"{where}: no list of agents: give an EDSL AgentList (a table 'agent_list'), or a list "
            "of records, one for each person"
        )
    people = [_person(agent, k, id, where) for k, agent in enumerate(data, 1)]
    fields = dict.fromkeys(name for person in people for name in person)
    names = [id, *(name for name in fields if name != id)]
    return where, names, ([person.get(name, "") for name in names] for person in people)


def _loaded(source: Any) -> tuple[str, Any]:
    if hasattr(source, "to_dict"):
        return "the AgentList", source.to_dict()
    if not isinstance(source, Path | Traversable):
        return "the agents", source
    try:
        return str(source), json_of(source.read_bytes().decode("utf-8-sig"))
    except ValueError as error:
        raise StudyError(f"{source}: is not JSON that can be read ({error})") from None


def _person(agent: Mapping[str, Any], number: int, id: str, where: str) -> dict[str, str]:
    traits = agent.get("traits")
    if not isinstance(traits, Mapping):
        traits = {k: v for k, v in agent.items() if k not in _OWN}
        name = traits.get(id)
    else:
        name = agent.get("name", traits.get(id))
        if agent.get("instruction"):
            traits = {**traits, "instruction": agent["instruction"]}
    own = str(name).strip() if name is not None else ""
    found = {id: own or f"agent-{number}"}
    for trait, value in traits.items():
        if trait != id:
            found[str(trait)] = _text(value, f"{where}: agent {number}, {trait!r}")
    return found


def _text(value: Any, what: str) -> str:
    if value is None:
        return ""
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    if isinstance(value, str | bool | int | float):
        return str(value) if str(value).strip() else ""
    if isinstance(value, list) and all(isinstance(v, str | int | float) for v in value):
        return ", ".join(map(str, value))
    raise StudyError(f"{what} is {type(value).__name__}: give a text, a number or a list of them")
