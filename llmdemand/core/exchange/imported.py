"""Studies from EDSL: a question of a survey, its scenarios and agents."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llmdemand.core.menu import Menu, fold
from llmdemand.core.people.agents import is_agents
from llmdemand.core.questionnaire.respondents import read_respondents
from llmdemand.core.study import Study
from llmdemand.core.written import json_of
from llmdemand.errors import StudyError, nearest

__all__ = ["Imported", "from_edsl"]

_FIELD = re.compile(
    r"\{\{\s*(?:'%(?P<spec>[0-9.]*[fgde])'\s*%\s*)?(?:(?P<of>scenario|agent)\.)?(?P<name>\w+)\s*\}\}"
)
_OUTSIDE = frozenset(
    "neither;none;none of these;none of them;none of the above;nothing;no purchase;"
    "i would not buy;i would not buy any;would not buy;buy nothing".split(";")
)
_KINDS = {
    "multiple_choice": "choice",
    "yes_no": "choice",
    "likert_five": "rating",
    "linear_scale": "rating",
    "numerical": "quantity",
}
# What EDSL says where an agent has no instruction of its own.
_SYSTEM = "You are answering questions as if you were a human. Do not break character."


@dataclass(frozen=True)
class Imported:
    """A study from EDSL.

    Attributes
    ----------
    study : Study
        The study.
    notes : tuple of str
        What is not carried over, or otherwise than there.
    """

    study: Study
    notes: tuple[str, ...]


def from_edsl(
    job: Mapping[str, Any] | str | Path,
    *,
    question: str | None = None,
    scenarios: Any = None,
    agents: Any = None,
    prices: Mapping[str, str] | None = None,
    kind: str | None = None,
    outside: str | None = None,
    unit: str = "currency units",
    name: str | None = None,
) -> Imported:
    """A study from an EDSL job or survey.

    Parameters
    ----------
    job : mapping or path
        The dictionary of a Jobs or Survey object (``to_dict()``), or a JSON file of it.
    question : str, optional
        Which question; needed where there are several that can be asked.
    scenarios, agents : mapping, list or path, optional
        Of a survey, which has none of its own: a ScenarioList and an AgentList.
    prices : mapping of str to str, optional
        Field of the scenarios by alternative or product id. By default ``price_<id>``, or
        ``price`` for the first.
    kind : str, optional
        ``rating`` takes the options of a multiple choice as points of a scale, the lowest first.
    outside : str, optional
        The option that is no purchase; by default one such as "neither" or "none of these".
    unit, name : str
        Of prices, and of the study.

    Raises
    ------
    StudyError
        For what is no EDSL file, questions of other types, scenarios whose prices are no full
        factorial, and templates that depend on anything else.

    Examples
    --------
    >>> import llmdemand as ld
    >>> from llmdemand.core.exchange.edsl import to_edsl
    >>> again = from_edsl(to_edsl(ld.load_study("coffee-packs")).data).study
    >>> again.kind, again.question.max, again.prices["aroma"]
    ('quantity', 5, (4.0, 5.0, 6.0, 7.0, 8.0, 9.0))
    """
    data = _loaded(job, "the job")
    if not isinstance(data, Mapping) or not isinstance(data.get("survey", data), Mapping):
        raise StudyError("no job or survey of EDSL: give what its to_dict() returns")
    survey = data.get("survey", data)
    notes: list[str] = []
    asked = _question(survey, question, notes)
    listed = _listed(scenarios if scenarios is not None else data.get("scenarios"), "scenarios")
    if not listed:
        raise StudyError(
            "there are no scenarios, which hold the prices: give a ScenarioList (--scenarios)"
        )
    what = kind or _KINDS[asked["question_type"]]
    entries, menu = _alternatives(asked, what, outside, listed, prices, notes)
    fields = _price_fields([e["id"] for e in entries], listed, prices, numbers=what != "choice")
    for entry in entries:
        if entry["id"] in fields:
            entry["price"] = fields[entry["id"]][1]
    people = agents if agents is not None else data.get("agents")
    personas, system = _people(people, notes)
    text = _template(str(asked["question_text"]), listed, fields, personas)
    made: dict[str, Any] = {
        "name": name or str(asked["question_name"]).replace("_", "-"),
        "unit": unit,
        "focal": next(e["id"] for e in entries if e["id"] in fields),
        "answer_first": True,
        "system": system,
        "user": f"{text}\n\n{_closing(entries, what)}",
        "offer": "{label}: {price:g}",
        "alternatives": entries,
        "personas": personas,
        "cluster": "persona_id" if personas else "cell",
        **({} if menu is None else {"question": menu}),
    }
    study = Study.from_dict(made, where="the study made of it")
    notes.append(
        "EDSL's own words around the question are replaced by a line that asks for the answer first"
    )
    return Imported(study, tuple(notes))


def _loaded(source: Any, what: str) -> Any:
    if not isinstance(source, str | Path):
        return source.to_dict() if hasattr(source, "to_dict") else source
    path = Path(source)
    if not path.is_file():
        raise StudyError(f"{path}: no such file; give the JSON file of {what}")
    try:
        return json_of(path.read_bytes().decode("utf-8-sig"))
    except ValueError as error:
        raise StudyError(f"{path}: is not JSON that can be read ({error})") from None


def _listed(source: Any, what: str) -> list[dict[str, Any]]:
    found = _loaded(source, what)
    if isinstance(found, Mapping):
        found = found.get(what)
    if found is None:
        return []
    if not isinstance(found, list) or not all(isinstance(one, Mapping) for one in found):
        raise StudyError(f"{what} are no list of records: give what EDSL's to_dict() returns")
    own = ("edsl_version", "edsl_class_name")
    return [{str(k): v for k, v in one.items() if k not in own} for one in found]


def _question(survey: Mapping[str, Any], wanted: str | None, notes: list[str]) -> dict[str, Any]:
    listed = _listed(survey.get("questions"), "questions")
    names = [str(q.get("question_name", "?")) for q in listed]
    if not listed:
        raise StudyError("the survey has no questions: give what EDSL's Survey.to_dict() returns")
    able = [q for q in listed if q.get("question_type") in _KINDS]
    if wanted is not None:
        if wanted not in names:
            raise StudyError(
                f"no question {wanted!r}{nearest(wanted, names)}: the survey has {', '.join(names)}"
            )
        chosen = listed[names.index(wanted)]
    elif len(able) == 1:
        chosen = able[0]
    else:
        raise StudyError(
            f"the survey has {len(able)} questions that can be asked of {len(listed)} "
            f"({', '.join(names)}): name one (--question)"
        )
    if chosen.get("question_type") not in _KINDS or "question_text" not in chosen:
        raise StudyError(
            f"question {chosen.get('question_name')!r} is of type {chosen.get('question_type')!r}: "
            f"those that can be asked are {', '.join(_KINDS)}"
        )
    left = [n for n in names if n != chosen.get("question_name")]
    if left:
        notes.append(f"other questions are left out, and what they lead to: {', '.join(left)}")
    return chosen


def _alternatives(
    asked: Mapping[str, Any],
    what: str,
    outside: str | None,
    listed: Sequence[Mapping[str, Any]],
    prices: Mapping[str, str] | None,
    notes: list[str],
) -> tuple[list[dict[str, Any]], dict[str, Any] | None]:
    """The alternatives, or products, and the question where it asks for a number."""
    options = asked.get("question_options")
    if isinstance(options, str):
        field = _FIELD.fullmatch(options.strip())
        lists = [one.get(field["name"]) for one in listed] if field else []
        if not lists or not all(isinstance(one, list) for one in lists):
            raise StudyError(f"question_options are {options!r}: no lists of the scenarios")
        first = [str(v) for v in lists[0] or []]
        if any(sorted(map(str, one or [])) != sorted(first) for one in lists):
            raise StudyError("the options differ between scenarios: a menu is the same in all")
        if any(one != lists[0] for one in lists):
            notes.append("options are listed in the order of the first scenario, always")
        options = lists[0]
    kind = asked["question_type"]
    if kind == "yes_no" and not options:
        options = ["No", "Yes"]
    if what == "choice":
        if not isinstance(options, list) or len(options) < 2:
            raise StudyError(f"question_options are {options!r}: give a list of two or more")
        labels = [str(one) for one in options]
        if outside is not None and outside not in labels:
            raise StudyError(f"no option {outside!r}{nearest(outside, labels)}: {labels}")
        found = [one for one in labels if fold(one).strip(" .") in _OUTSIDE]
        none = outside or (found[0] if found else None)
        menu = Menu.of(*(one for one in labels if one != none), outside=none)
        ids = {a.label: a.id for a in menu}
        if outside is None and none is not None:
            notes.append(f"{none!r} is taken for the outside option")
        return [
            {"id": ids[one], "label": one, **({"outside": True} if one == none else {})}
            for one in labels
        ], None
    fields = sorted(k for k in listed[0] if k.startswith("price_"))
    products = list(prices or [k.removeprefix("price_") for k in fields]) or ["product"]
    entries = [{"id": p, "label": p.replace("_", " ").capitalize()} for p in products]
    return entries, _scale(asked, what, options or [], notes)


def _scale(
    asked: Mapping[str, Any], what: str, options: Sequence[Any], notes: list[str]
) -> dict[str, Any]:
    """The question that asks for a number."""
    if what == "quantity":
        least, most = asked.get("min_value"), asked.get("max_value")
        if least not in (None, 0) or most is None or not float(most).is_integer():
            raise StudyError(
                f"the numbers are {least} to {most}: a quantity is a whole number from 0 to a "
                "largest one (min_value 0, max_value)"
            )
        if least is None:
            notes.append("the least number is not said: quantities begin at 0")
        return {"kind": "quantity", "max": int(most)}
    labels = [str(one) for one in options]
    if asked["question_type"] == "linear_scale":
        if labels != [str(k) for k in range(1, len(labels) + 1)]:
            raise StudyError(f"the scale is {labels}: a rating has the points 1, 2, 3, ...")
        said = {str(k): str(v) for k, v in (asked.get("option_labels") or {}).items()}
        if set(said) != set(labels):
            if said:
                notes.append("labels of the ends alone are left out: " + ", ".join(said.values()))
            return {"kind": "rating", "max": len(labels), "labels": []}
        labels = [said[k] for k in labels]
    return {"kind": "rating", "max": len(labels), "labels": labels}


def _price_fields(
    ids: Sequence[str],
    listed: Sequence[Mapping[str, Any]],
    given: Mapping[str, str] | None,
    *,
    numbers: bool,
) -> dict[str, tuple[str, list[float]]]:
    """Field and grid by id, checked to be a full factorial."""
    known = list(listed[0])
    if given is None:
        named = {a: f"price_{a}" for a in ids if f"price_{a}" in known}
        if not named and "price" in known:
            named = {ids[0]: "price"}
    else:
        named = dict(given)
    wrong = [a for a in named if a not in ids]
    if wrong or not named:
        raise StudyError(
            f"prices are of {', '.join(named) or 'nothing'}: name the field of the scenarios "
            f"({', '.join(known)}) for one or more of {', '.join(ids)}"
            + ("" if numbers else ", as in --price pampers=price")
        )
    rows = []
    for k, one in enumerate(listed, 1):
        row = []
        for field in named.values():
            value = one.get(field)
            try:
                row.append(float("nan") if isinstance(value, bool) else float(value))  # type: ignore[arg-type]
            except (TypeError, ValueError):
                raise StudyError(
                    f"scenario {k} has {field!r} {value!r}, which is no price: give a number in "
                    "every scenario, or the field that holds prices"
                ) from None
        rows.append(tuple(row))
    grids = [sorted(set(column)) for column in zip(*rows, strict=True)]
    if set(rows) != set(itertools.product(*grids)):
        raise StudyError(
            f"the scenarios hold {len(set(rows))} combinations of prices, a full factorial of "
            f"their levels has {len(list(itertools.product(*grids)))}: give all of them, or "
            "vary one price"
        )
    return {a: (field, grid) for (a, field), grid in zip(named.items(), grids, strict=True)}


def _people(source: Any, notes: list[str]) -> tuple[list[dict[str, str]], str]:
    """Personas and the system text."""
    found = _loaded(source, "agents")
    if found is None or found == [] or (isinstance(found, Mapping) and not found.get("agent_list")):
        return [], ""
    if not is_agents(found):
        raise StudyError("agents are no AgentList: give what EDSL's to_dict() returns")
    personas = [dict(p) for p in read_respondents(found)]
    texts = {p.get("instruction", "") for p in personas}
    traits = [k for k in personas[0] if k not in ("id", "instruction")]
    if len(texts) == 1:
        system = texts.pop() or _SYSTEM
        system = system.replace("{", "{{").replace("}", "}}")
        personas = [{k: v for k, v in p.items() if k != "instruction"} for p in personas]
    else:
        system = "{instruction}"
        personas = [{**p, "instruction": p["instruction"] or _SYSTEM} for p in personas]
    if traits:
        said = ", ".join(f"{trait}: {{{trait}}}" for trait in traits)
        system = f"{system}\nYour traits: {said}"
        bad = [t for t in traits if not t.isidentifier()]
        if bad:
            raise StudyError(f"trait {bad[0]!r} is no name of a template's field: rename it")
        notes.append("traits stand in the system text, as EDSL shows them")
    if len(personas) == 1 and not traits:
        return [], system
    return personas, system


def _template(
    text: str,
    listed: Sequence[Mapping[str, Any]],
    fields: Mapping[str, tuple[str, list[float]]],
    personas: Sequence[Mapping[str, str]],
) -> str:
    """A template of EDSL as one of ours."""
    owner = {field: a for a, (field, _) in fields.items()}
    traits = set(personas[0]) - {"id"} if personas else set()
    found, end = [], 0
    for match in _FIELD.finditer(text):
        found.append(_plain(text[end : match.start()]))
        name, of, spec = match["name"], match["of"], match["spec"]
        if of != "agent" and name in owner:
            found.append(f"{{price_{owner[name]}{':' + spec if spec else ':g'}}}")
        elif of != "scenario" and name in traits:
            found.append(f"{{{name}}}")
        elif of != "agent" and all(name in one for one in listed):
            values = {json.dumps(one[name]) for one in listed}
            if len(values) > 1:
                raise StudyError(
                    f"the question shows the scenarios' field {name!r}, which is no price and has "
                    f"{len(values)} values: import them one at a time, or name it as a price"
                )
            found.append(_plain(str(listed[0][name])))
        else:
            raise StudyError(f"the question shows {match[0]}, which no scenario or agent has")
        end = match.end()
    return "".join([*found, _plain(text[end:])])


def _plain(text: str) -> str:
    if "{{" in text or "{%" in text:
        raise StudyError(
            f"the question holds a template that is not a plain field, {text.strip()[:60]!r}: only "
            "{{ scenario.x }}, {{ agent.x }} and formats such as {{ '%.2f' % scenario.x }} are read"
        )
    return text.replace("{", "{{").replace("}", "}}")


def _closing(entries: Sequence[Mapping[str, Any]], what: str) -> str:
    """The line that asks for the answer first, in place of EDSL's own."""
    if what == "quantity":
        return "Answer with a whole number, {scale}."
    if what == "rating":
        return "{scale}\n\nAnswer with the number."
    listed = _plain("\n".join(f"- {one['label']}" for one in entries))
    return f"{listed}\n\nAnswer with one of these, and nothing before it."
