"""Templates: what they may show, what they must, and whether they can be filled."""

from __future__ import annotations

import math
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace

from llmdemand.core.questionnaire.checking.names import own_ids
from llmdemand.core.questionnaire.prompts import Variant, names, placeholders
from llmdemand.core.questionnaire.questionnaire import Questionnaire
from llmdemand.errors import StudyError, nearest

__all__ = ["check_filling", "check_templates", "design_fields", "persona_fields"]


def design_fields(study: Questionnaire) -> set[str]:
    """What templates other than offers are filled with; attributes are checked by themselves."""
    asked = set() if study.question is None else {"scale"}
    levels = {x.column(a) for x in study.attributes for a in study.prices}
    return {"offers", "unit", "disclosure", *asked, *(f"price_{a}" for a in study.prices), *levels}


def persona_fields(study: Questionnaire) -> set[str]:
    """What personas fill."""
    # All personas have the fields of the first.
    return set(study.personas[0]) - {"id"} if study.personas else set()


def check_templates(study: Questionnaire) -> None:
    """The study's own templates, then those of each variant with what it inherits."""
    own_ids([v.id for v in study.variants], "variant")
    if study.outside_offer:
        listed = [a.id for a in study.menu if a.outside]
        _offer(study, study.outside_offer, "'outside_offer'", ("label",), listed)
    elif not study.outside_last and any(a.outside for a in study.menu):
        raise StudyError(
            "outside_last is false, but no offer shows the outside option: add outside_offer, "
            'such as "- {label}", or remove outside_last'
        )
    own = Variant("", study.system, study.user, study.offer, study.price_scale)
    fields = design_fields(study) | persona_fields(study)
    _template(study, own, "", fields)
    for variant in study.variants:
        _template(study, study.wording(variant.id), f" of variant {variant.id!r}", fields)


def _template(study: Questionnaire, wording: Variant, whose: str, fields: set[str]) -> None:
    focal = study.focal
    scale = wording.price_scale
    if scale is None or not (math.isfinite(scale) and scale > 0):
        raise StudyError(f"price_scale{whose} is {scale}: give a positive number")
    used = placeholders(wording.user or "", f"'user'{whose}", fields)
    used |= placeholders(wording.system or "", f"'system'{whose}", fields)
    _shows(study, wording, whose, used)
    if "offers" not in used and f"price_{focal}" not in used:
        raise StudyError(
            f"no prompt{whose} shows the price: put {{offers}} or {{price_{focal}}} into 'user'"
        )
    own = tuple(x.name for x in study.attributes)
    _offer(study, wording.offer or "", f"'offer'{whose}", ("label", "price"), study.prices, own)


def _shows(study: Questionnaire, wording: Variant, whose: str, used: set[str]) -> None:
    """Every attribute stands in the prompt: a level that nobody sees changes nothing."""
    shown = names(wording.offer or "") if "offers" in used else ()
    for attribute in study.attributes:
        for a in study.prices:
            if not attribute.has(a) or attribute.name in shown or attribute.column(a) in used:
                continue
            raise StudyError(
                f"no prompt{whose} shows the attribute {attribute.name!r} of {a!r}: put "
                f"{{{attribute.name}}} into 'offer', or {{{attribute.column(a)}}} into 'user'"
            )


def _offer(
    study: Questionnaire,
    template: str,
    where: str,
    fixed: tuple[str, ...],
    alternatives: Iterable[str],
    filled: tuple[str, ...] = (),
) -> None:
    """What is neither fixed nor `filled` by the design is of the personas, by alternative."""
    fields, listed = persona_fields(study), list(alternatives)
    attributes = {
        field.removesuffix(f"_{a}") for field in fields for a in listed if field.endswith(f"_{a}")
    }
    known = {*fixed, *filled, *attributes}
    if study.personas:
        # No slip of the pen, but an attribute that no persona has.
        with suppress(ValueError):
            known |= {name for name in names(template) if not nearest(name, sorted(known))}
    used = placeholders(template, where, known)
    if not set(fixed) <= used:
        needed = " and ".join(f"{{{name}}}" for name in fixed)
        raise StudyError(f"{where} needs {'both ' if len(fixed) > 1 else ''}{needed}")
    for attribute in sorted(used - {*fixed, *filled}):
        for a in listed:
            if f"{attribute}_{a}" not in fields:
                raise StudyError(
                    f"template {where} uses {{{attribute}}}, which alternative {a!r} takes from "
                    f"the persona field '{attribute}_{a}', and there is none: give every persona "
                    "that field"
                )


def check_filling(study: Questionnaire) -> None:
    """Formats after ':' show their errors only when they are filled."""
    first = study.full_cell(0)
    variants: list[str | None] = [None, *(v.id for v in study.variants)]
    for variant in variants:
        whose = "" if variant is None else f" of variant {variant!r}"
        try:
            study.prompt(replace(first, variant=variant), study.option_orders()[0])
        except (ValueError, KeyError, IndexError, AttributeError, TypeError) as error:
            raise StudyError(
                f"a template{whose} cannot be filled ({error}): check the formats after ':', "
                "such as {price:.1f}"
            ) from None
