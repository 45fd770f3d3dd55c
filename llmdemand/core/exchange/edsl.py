"""Studies as EDSL holds them: a Jobs object of a survey, scenarios and agents."""

from __future__ import annotations

import re
import string
from dataclasses import dataclass, replace
from typing import Any

from llmdemand.core.cell import Cell
from llmdemand.core.questionnaire.prompts import names
from llmdemand.core.study import Study
from llmdemand.errors import StudyError

__all__ = ["VERSION", "Exported", "to_edsl"]

#: The version of EDSL whose files these are.
VERSION = "1.0.9"


@dataclass(frozen=True)
class Exported:
    """A study for EDSL.

    Attributes
    ----------
    data : dict
        What ``edsl.Jobs.from_dict`` reads; JSON.
    notes : tuple of str
        What is not carried over, or otherwise than here.
    """

    data: dict[str, Any]
    notes: tuple[str, ...]


def to_edsl(study: Study) -> Exported:
    """A study as an EDSL job: one question, a scenario for each design point, agents.

    A choice is a QuestionMultipleChoice, a quantity a QuestionNumerical, a rating a
    QuestionLinearScale with the labels of its points. Prices are fields of scenarios,
    ``price_<id>``; personas are agents with their fields as traits.

    Raises
    ------
    StudyError
        For what EDSL cannot ask: several wordings, texts before an answer in completion mode,
        prices or offers that come from personas.

    Examples
    --------
    >>> import llmdemand as ld
    >>> found = to_edsl(ld.load_study("coffee-packs"))
    >>> found.data["survey"]["questions"][0]["question_type"], len(found.data["scenarios"])
    ('numerical', 6)
    >>> found.data["survey"]["questions"][0]["question_text"].splitlines()[0]
    "Aroma coffee: {{ '%.2f' % scenario.price_aroma }} euros per pack of 500 g"
    """
    _check(study)
    notes: list[str] = []
    orders = study.option_orders()
    varies = len(orders) > 1
    arms = len(study.arms) > 1
    question = _question(study, varies, notes)
    cells: dict[Any, dict[str, Any]] = {}
    for cell in study.cells():
        for order in (cell.order,) if cell.order else orders:
            key = (tuple(cell.prices.items()), cell.arm, order)
            cells.setdefault(key, _scenario(study, cell, order, varies=varies, arms=arms))
    made = {"edsl_version": VERSION, "edsl_class_name": "Scenario"}
    data = {
        "survey": _survey(question),
        "agents": _agents(study, notes),
        "models": [],
        "scenarios": [{**one, **made} for one in cells.values()],
        "edsl_version": VERSION,
        "edsl_class_name": "Jobs",
    }
    notes += _lost(study)
    return Exported(data, tuple(notes))


def _survey(question: dict[str, Any]) -> dict[str, Any]:
    """A survey of one question, with the rules that EDSL writes for it."""
    name = question["question_name"]
    rule = {"current_q": 0, "expression": "True", "next_q": 1, "priority": -1}
    return {
        "questions": [question],
        "memory_plan": {
            "survey_question_names": [name],
            "survey_question_texts": [question["question_text"]],
            "data": {},
        },
        "rule_collection": {
            "rules": [{**rule, "question_name_to_index": {name: 0}, "before_rule": False}],
            "num_questions": 1,
        },
        "question_groups": {},
        "edsl_version": VERSION,
        "edsl_class_name": "Survey",
    }


def _check(study: Study) -> None:
    if study.variants:
        raise StudyError(
            f"the study {study.name!r} has {len(study.variants)} variants, and an EDSL question "
            "one text: export one wording at a time"
        )
    if study.mode != "chat":
        raise StudyError(
            f"the study {study.name!r} is in completion mode, which EDSL does not ask: use a study "
            "in chat mode"
        )
    own = set(names(study.offer)) - {"label", "price"}
    if study.price_fields or own or set(names(study.outside_offer)) - {"label"}:
        raise StudyError(
            f"offers of {study.name!r} take prices or attributes from personas, and EDSL scenarios "
            "do not know who answers: give all personas the same offers"
        )
    if "{{" in _literal(study.user) or "{%" in _literal(study.user):
        raise StudyError("the prompt holds {{ or {%, which EDSL would read as a template")


def _literal(template: str) -> str:
    return "".join(text for text, *_ in string.Formatter().parse(template))


def _question(study: Study, varies: bool, notes: list[str]) -> dict[str, Any]:
    name = "".join(c if c.isascii() and c.isalnum() else "_" for c in study.name.lower()).strip("_")
    name = name if name and name[0].isalpha() else f"q_{name}"
    text = _jinja(study, study.user, varies).strip()
    made = {"edsl_version": VERSION, "edsl_class_name": "QuestionBase"}
    common = {"question_name": name, "question_text": text}
    asked = study.question
    if asked is None:
        labels: Any = [study.menu[a].label for a in study.option_orders()[0]]
        if varies:
            labels = "{{ scenario.options }}"
        else:
            notes.append("EDSL lists the options once more below the question")
        return {**common, "question_options": labels, "question_type": "multiple_choice", **made}
    if asked.kind == "quantity":
        notes.append("QuestionNumerical also takes numbers that are not whole")
        ends = {"min_value": 0, "max_value": asked.max}
        return {**common, **ends, "question_type": "numerical", **made}
    options = list(asked.values)
    labels = {str(k): text for k, text in zip(options, asked.labels, strict=False)}
    more = {"question_options": options, "option_labels": labels}
    return {**common, **more, "question_type": "linear_scale", **made}


def _jinja(study: Study, template: str, varies: bool) -> str:
    """A template of ours as one of EDSL's."""
    parts = []
    for text, field, spec, _ in string.Formatter().parse(template):
        parts.append(text)
        if field is not None:
            parts.append(_filled(study, field, spec or "", varies))
    return "".join(parts)


def _filled(study: Study, field: str, spec: str, varies: bool) -> str:
    if field == "offers":
        return "{{ scenario.offers }}" if varies else _offers(study)
    if field == "unit":
        return study.unit
    if field == "scale" and study.question is not None:
        return study.question.scale
    if field == "disclosure":
        if len(study.arms) > 1:
            return "{{ scenario.disclosure }}"
        return study.disclosure if study.arms == ("unblinded",) else ""
    if field.startswith("price_") and field.removeprefix("price_") in study.prices:
        return _price(study, field, spec)
    if spec:
        raise StudyError(f"the format {{{field}:{spec}}} of a persona's field has no form in EDSL")
    return f"{{{{ agent.{field} }}}}"


def _offers(study: Study) -> str:
    """The offers of a fixed order, with the prices left open."""
    asked = study.question
    order = study.option_orders()[0] if asked is None else tuple(a.id for a in asked.products)
    found = []
    for a in order:
        if a not in study.prices and not (study.outside_offer and study.menu[a].outside):
            continue
        template = study.offer if a in study.prices else study.outside_offer
        label = study.priced(a).label
        for text, field, spec, _ in string.Formatter().parse(template):
            found.append(text)
            if field is not None:
                found.append(label if field == "label" else _price(study, f"price_{a}", spec or ""))
        found.append(study.separator)
    return "".join(found[:-1])


def _price(study: Study, field: str, spec: str) -> str:
    value = f"scenario.{field}"
    if study.price_scale != 1:
        value = f"({value} * {study.price_scale!r})"
    if not spec:
        return f"{{{{ {value} }}}}"
    if spec[-1] not in "fgde" or not re.fullmatch(r"[0-9]*(\.[0-9]+)?", spec[:-1]):
        raise StudyError(f"the price format {spec!r} has no form in EDSL: use one such as .2f")
    return f"{{{{ '%{spec}' % {value} }}}}"


def _scenario(
    study: Study, cell: Cell, order: tuple[str, ...], *, varies: bool, arms: bool
) -> dict[str, Any]:
    found: dict[str, Any] = {
        f"price_{a}": int(p) if float(p).is_integer() else p for a, p in cell.prices.items()
    }
    if varies:
        found["options"] = [study.menu[a].label for a in order]
        # Of the study's own offers, whatever else the prompt says.
        user = Study.prompt(_only_offers(study), cell, order)[1]
        found["offers"] = user
    if arms:
        found["arm"] = cell.arm
        found["disclosure"] = study.disclosure if cell.arm == "unblinded" else ""
    return found


def _only_offers(study: Study) -> Study:
    return replace(study, system="", user="{offers}", disclosure=" ", arms=("blind",))


def _agents(study: Study, notes: list[str]) -> list[dict[str, Any]]:
    made = {"edsl_version": VERSION, "edsl_class_name": "Agent"}
    system = study.system
    used = set(names(system))
    fields = set(study.personas[0]) - {"id"} if study.personas else set()
    if used - fields - {"unit"}:
        raise StudyError(
            f"the system text shows {', '.join(sorted(used - fields))}, which is not of personas; "
            "an instruction of an EDSL agent is the same in all scenarios: move it into 'user'"
        )
    if not study.personas:
        if not system.strip():
            return []
        notes.append("the system text is the instruction of the one agent")
        return [{"traits": {}, "instruction": system.format(unit=study.unit), **made}]
    notes.append("EDSL shows all traits of an agent to the model, not only those in a template")
    found = []
    for persona in study.personas:
        traits = {k: v for k, v in persona.items() if k != "id"}
        one: dict[str, Any] = {"traits": traits, "name": persona["id"]}
        if system.strip():
            one["instruction"] = system.format(unit=study.unit, **traits)
        found.append({**one, **made})
    return found


def _lost(study: Study) -> list[str]:
    """What a job of EDSL has no place for."""
    said = [
        f"EDSL words its own prompt around the question, and reads the answer: belief needs the "
        f"log-probabilities of the prompt as it is here (study {study.hash})",
        "runs, sampling settings and the forms of answers stay here: set n and the temperature of "
        "EDSL's model",
    ]
    if study.weights:
        said.append(f"weights stay a trait, {study.weights!r}, which EDSL shows like any other")
    if study.points is not None:
        said.append("of the balanced fraction the scenarios are kept, not who meets which")
    if study.personas and study.points is not None:
        raise StudyError(
            "a fraction of the design pairs personas with prices, and EDSL asks every agent every "
            "scenario: export the full design (without points)"
        )
    if study.orders == "rotate":
        said.append("orders that rotate over runs are scenarios of their own, crossed")
    return said
