"""Whom a study asks: arms, personas, their weights, respondents."""

from __future__ import annotations

import math

from llmdemand.core.questionnaire.checking.names import one_of, own_ids
from llmdemand.core.questionnaire.checking.templates import design_fields, persona_fields
from llmdemand.core.questionnaire.prompts import names
from llmdemand.core.questionnaire.questionnaire import Questionnaire
from llmdemand.core.questionnaire.respondents import reserved
from llmdemand.errors import StudyError, nearest

__all__ = ["ARMS", "check_arms", "check_personas", "check_respondents"]

ARMS = ("blind", "unblinded")


def check_arms(study: Questionnaire) -> None:
    """Refuse arms that do not exist, and a disclosure that says nothing."""
    for arm in study.arms:
        one_of("an arm", arm, ARMS)
    if not study.arms or len(set(study.arms)) < len(study.arms):
        raise StudyError(f"arms is {list(study.arms)}: give 'blind', 'unblinded' or both, once")
    if "unblinded" in study.arms and not study.disclosure.strip():
        raise StudyError(
            "disclosure is empty, but the unblinded arm says it: write it, or leave it out "
            "for the usual one"
        )


def check_personas(study: Questionnaire) -> None:
    """Refuse personas that differ in fields, or have those that the design fills."""
    own_ids([p.get("id") for p in study.personas], "persona")
    _weights(study)
    filled = design_fields(study)
    for persona in study.personas:
        missing = set(study.personas[0]) ^ set(persona)
        if missing:
            raise StudyError(
                f"persona {persona['id']!r} and the first one differ in fields: {sorted(missing)}"
            )
        taken = sorted(set(persona) & filled)
        if taken:
            raise StudyError(
                f"persona {persona['id']!r} has a field {taken[0]!r}, which the design fills: "
                "rename it"
            )


def _weights(study: Questionnaire) -> None:
    if not study.weights:
        return
    known = list(study.personas[0]) if study.personas else []
    if study.weights not in known or study.weights == "id":
        raise StudyError(
            f"weights is {study.weights!r}{nearest(study.weights, known)}, and the personas have "
            f"{', '.join(known) or 'no fields'}: name the field that holds their weights"
        )
    for persona in study.personas:
        try:
            value = float(persona.get(study.weights, ""))
        except ValueError:
            value = math.nan
        if not (value > 0 and math.isfinite(value)):
            raise StudyError(
                f"persona {persona['id']!r} has the weight {persona.get(study.weights)!r}: give a "
                "positive number, or leave that persona out"
            )


def check_respondents(study: Questionnaire) -> None:
    """What a table of people can lack, and names that their panel has already."""
    if not study.respondents:
        return
    if not study.personas:
        raise StudyError("respondents is true, but there are no personas: give a table of them")
    own = {*study.attribute_columns, *(x.name for x in study.attributes)}
    own |= {"task", "holdout", "outside"} if study.conjoint is not None else set()
    taken = sorted(persona_fields(study) & (reserved(study.menu.ids) | own))
    if taken:
        raise StudyError(
            f"respondents have a column {taken[0]!r}, which is a column of every panel: rename it"
        )
    used = _used(study) & persona_fields(study)
    for persona in study.personas:
        for name in used:
            if not persona[name].strip():
                raise StudyError(
                    f"respondent {persona['id']!r} has no value in the column {name!r}, which the "
                    "prompt shows: fill it, or leave that respondent out"
                )


def _used(study: Questionnaire) -> set[str]:
    """Names of everything that a prompt can show."""
    found = {f"{x}_{a.id}" for x in names(study.outside_offer) for a in study.menu if a.outside}
    for wording in (study.wording(id) for id in (None, *(v.id for v in study.variants))):
        found |= {*names(wording.system or ""), *names(wording.user or "")}
        found |= {f"{x}_{a}" for x in names(wording.offer or "") for a in study.prices}
    return found - set(study.attribute_columns)
