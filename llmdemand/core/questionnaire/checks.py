"""Everything that can be wrong with a study, before any model is asked."""

from __future__ import annotations

import math
import string
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import fields, replace
from typing import Any

from llmdemand.core.questionnaire.fields import MOST_PRICES
from llmdemand.core.questionnaire.measure import MEASURES
from llmdemand.core.questionnaire.prompts import Variant, names, placeholders
from llmdemand.core.questionnaire.questionnaire import Questionnaire
from llmdemand.core.questionnaire.respondents import reserved
from llmdemand.errors import StudyError, nearest, warn

__all__ = ["ARMS", "PriceWarning", "check"]

ORDERS = ("fixed", "rotate", "cross")
MODES = ("chat", "completion")
ARMS = ("blind", "unblinded")
# Cells that are written out: their prompts alone would take gigabytes.
_MOST_CELLS = 1_000_000
_COUNTED = 2**62  # positions that a fraction can tell apart


class PriceWarning(UserWarning):
    """A price that can be meant, but rarely is: nothing, or less."""


def check(study: Questionnaire) -> None:
    """Raise for whatever is wrong with a study.

    Raises
    ------
    StudyError
        Saying what was found, what was expected and what to do.

    Warns
    -----
    PriceWarning
        For a price of zero or below that is shown.
    """
    for field in fields(study):
        _unicode(getattr(study, field.name), field.name)
    _grids(study)
    _one_of("orders", study.orders, ORDERS)
    _one_of("mode", study.mode, MODES)
    _measure(study)
    if not set(study.pinned) <= set(study.menu.ids) or len(set(study.pinned)) < len(study.pinned):
        raise StudyError(
            f"pinned is {list(study.pinned)}: name alternatives of {', '.join(study.menu.ids)}, "
            "each once"
        )
    outside = [a.id for a in study.menu if a.outside and a.id in study.prices]
    if outside:
        raise StudyError(f"{outside[0]!r} is an outside option and has a price: remove either")
    people = ["respondent_id"] if study.respondents else []
    clusters = ("cell", "order", *(["persona_id"] if study.personas else []), *people)
    if study.cluster not in clusters:
        raise StudyError(f"cluster is {study.cluster!r}: use one of {', '.join(clusters)}")
    if study.focal not in study.prices:
        raise StudyError(
            f"focal alternative {study.focal!r} has no price: "
            f"priced alternatives are {', '.join(study.prices) or 'none'}"
        )
    if study.runs < 1 or study.sampling.max_tokens < 1 or study.sampling.top_logprobs < 1:
        raise StudyError("runs, max_tokens and top_logprobs must be at least 1")
    thinking = study.sampling.thinking
    if thinking is not None and (
        thinking.thoughts < 1
        or thinking.max_tokens < 1
        or not thinking.close
        or not thinking.answer
    ):
        raise StudyError(
            "sampling.thinking needs at least one thought of at least one token, and texts for "
            "'close' and 'answer'"
        )
    if thinking is not None and study.sampling.branch:
        raise StudyError(
            "sampling.branch and sampling.thinking are both set: forced answers do not branch; "
            "remove one (a model that thinks and then answers by itself can branch)"
        )
    if study.thinking and (len(study.thinking) != 2 or not all(t.strip() for t in study.thinking)):
        raise StudyError(
            f"thinking is {list(study.thinking)}: give the two tags between which the model "
            "thinks, such as ['<think>', '</think>']"
        )
    if thinking is not None and (study.thinking or study.thinking_open):
        raise StudyError(
            "thinking and sampling.thinking are both set: the first reads answers of a model that "
            "thinks by itself, the second forces answers after its thoughts; remove one"
        )
    if not study.sampling.temperature > 0:
        raise StudyError(
            f"temperature is {study.sampling.temperature}: use a positive number (at 0 choice is "
            "the most likely answer, while belief still is that of temperature 1)"
        )
    _question(study)
    _arms(study)
    _personas(study)
    _templates(study)
    _respondents(study)
    _fraction(study)
    _filling(study)
    _nothing_or_less(study)


def _unicode(value: Any, where: str) -> None:
    """Half characters (lone surrogates) can be sent, hashed and written by nobody."""
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise StudyError(
                f"{where} holds half a character ({value[error.start]!a}), which is no text: "
                "write the character itself"
            ) from None
    elif isinstance(value, Mapping):
        for name, part in value.items():
            _unicode(name, f"a name in {where}")
            _unicode(part, f"{where}, {name!r}" if isinstance(name, str) else where)
    elif isinstance(value, Variant):
        _unicode(value.to_dict(), f"variant {value.id!a}")
    elif hasattr(value, "to_dict"):
        _unicode(value.to_dict(), where)
    elif isinstance(value, list | tuple) and not (value and isinstance(value[0], float)):
        for part in value:
            _unicode(part, where)


def _grids(study: Questionnaire) -> None:
    """Prices that nobody can tell apart would be one question with two answers."""
    for a, grid in study.prices.items():
        if a in study.price_fields:
            continue
        if not grid or len(set(grid)) < len(grid) or not all(map(math.isfinite, grid)):
            raise StudyError(
                f"price of {a!r} is {list(grid)[:20]}: give distinct finite numbers (decimals of "
                "up to 15 digits)"
            )
        if len(grid) > MOST_PRICES:
            raise StudyError(
                f"price of {a!r} is a grid of {len(grid):,} prices: give at most {MOST_PRICES:,}"
            )
    count = study.full_size if study.points is None else study.points
    if count > _MOST_CELLS:
        tasks = "add [conjoint] with a number of tasks, " if study.attributes else ""
        raise StudyError(
            f"the design has {count:,} cells, more than {_MOST_CELLS:,}: {tasks}set points to the "
            "number of cells that are to be asked, or give fewer levels"
        )


def _nothing_or_less(study: Questionnaire) -> None:
    for a, grid in study.prices.items():
        low = sorted({price for price in grid if price <= 0})
        if low and _shown(study, a):
            said = ", ".join(f"{price:g}" for price in low[:5])
            warn(
                f"{a!r} has the price {said}: zero and negative prices are asked as they are, but "
                "such a price may be read as free, and logarithms of it do not exist",
                PriceWarning,
            )


def _shown(study: Questionnaire, alternative: str) -> bool:
    """Whether a prompt writes out the alternative's price, rather than an empty text."""
    for wording in (study.wording(id) for id in (None, *(v.id for v in study.variants))):
        asked = f"{wording.user or ''}{wording.system or ''}"
        for name, text in (("price", wording.offer or ""), (f"price_{alternative}", asked)):
            parsed = string.Formatter().parse(text)
            if any(found == name and _written(form, how) for _, found, form, how in parsed):
                return True
    return False


def _written(form: str | None, conversion: str | None) -> str:
    number: Any = string.Formatter().convert_field(1.5, conversion)
    return format(number, form or "")


def _measure(study: Questionnaire) -> None:
    _one_of("measure", study.measure, tuple(MEASURES))
    if study.measure == "logprob":
        return
    for given, name in (
        (study.sampling.branch, "sampling.branch"),
        (study.sampling.thinking, "sampling.thinking"),
    ):
        if given:
            raise StudyError(
                f"measure is {study.measure!r} and {name} is set, which is about log-probabilities "
                "of tokens: remove one"
            )


def _one_of(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise StudyError(
            f"{name} is {value!r}{nearest(value, allowed)}: use one of {', '.join(allowed)}"
        )


def _question(study: Questionnaire) -> None:
    """Of questions of numbers: the menu is theirs, and stands in ascending order."""
    if study.question is None:
        return
    if study.orders != "fixed" or study.pinned or study.outside_offer or not study.outside_last:
        raise StudyError(
            f"orders, pinned and outside_offer are of choices; a {study.kind} is asked in "
            "ascending order: leave them out"
        )
    if study.measure not in ("logprob", "choice"):
        raise StudyError(
            f"measure is {study.measure!r}, which is of choices between alternatives: a "
            f"{study.kind} is measured by 'logprob' or 'choice'"
        )
    if study.attributes or study.conjoint is not None:
        raise StudyError(
            f"a {study.kind} question has no attributes: ask for a choice between alternatives "
            "that have them, or leave [attributes] and [conjoint] out"
        )
    if study.menu != study.question.menu():
        raise StudyError(f"the menu of a {study.kind} is the question's own: use question.menu()")
    unpriced = [a.id for a in study.question.products if a.id not in study.prices]
    if unpriced or len(study.prices) > len(study.question.products):
        raise StudyError(
            f"prices are of {', '.join(study.prices)}: give one for each product, "
            f"{', '.join(a.id for a in study.question.products)}"
        )


def _own_ids(ids: Sequence[str | None], what: str) -> None:
    if not all(ids) or len(set(ids)) < len(ids):
        raise StudyError(f"every {what} needs an 'id' of its own, found {list(ids)}: rename one")


def _arms(study: Questionnaire) -> None:
    for arm in study.arms:
        _one_of("an arm", arm, ARMS)
    if not study.arms or len(set(study.arms)) < len(study.arms):
        raise StudyError(f"arms is {list(study.arms)}: give 'blind', 'unblinded' or both, once")
    if "unblinded" in study.arms and not study.disclosure.strip():
        raise StudyError(
            "disclosure is empty, but the unblinded arm says it: write it, or leave it out "
            "for the usual one"
        )


def _personas(study: Questionnaire) -> None:
    _own_ids([p.get("id") for p in study.personas], "persona")
    _weights(study)
    filled = _design_fields(study)
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


def _design_fields(study: Questionnaire) -> set[str]:
    """What templates other than offers are filled with; attributes are checked by themselves."""
    asked = set() if study.question is None else {"scale"}
    levels = {x.column(a) for x in study.attributes for a in study.prices}
    return {"offers", "unit", "disclosure", *asked, *(f"price_{a}" for a in study.prices), *levels}


def _templates(study: Questionnaire) -> None:
    """The study's own templates, then those of each variant with what it inherits."""
    _own_ids([v.id for v in study.variants], "variant")
    if study.outside_offer:
        listed = [a.id for a in study.menu if a.outside]
        _offer(study, study.outside_offer, "'outside_offer'", ("label",), listed)
    elif not study.outside_last and any(a.outside for a in study.menu):
        raise StudyError(
            "outside_last is false, but no offer shows the outside option: add outside_offer, "
            'such as "- {label}", or remove outside_last'
        )
    own = Variant("", study.system, study.user, study.offer, study.price_scale)
    fields = _design_fields(study) | _persona_fields(study)
    _template(study, own, "", fields)
    for variant in study.variants:
        _template(study, study.wording(variant.id), f" of variant {variant.id!r}", fields)


def _persona_fields(study: Questionnaire) -> set[str]:
    # All personas have the fields of the first.
    return set(study.personas[0]) - {"id"} if study.personas else set()


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
    fields, listed = _persona_fields(study), list(alternatives)
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


def _respondents(study: Questionnaire) -> None:
    """What a table of people can lack, and names that their panel has already."""
    if not study.respondents:
        return
    if not study.personas:
        raise StudyError("respondents is true, but there are no personas: give a table of them")
    own = {*study.attribute_columns, *(x.name for x in study.attributes)}
    own |= {"task", "holdout", "outside"} if study.conjoint is not None else set()
    taken = sorted(_persona_fields(study) & (reserved(study.menu.ids) | own))
    if taken:
        raise StudyError(
            f"respondents have a column {taken[0]!r}, which is a column of every panel: rename it"
        )
    used = _used(study) & _persona_fields(study)
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


def _fraction(study: Questionnaire) -> None:
    if study.design_seed < 0:
        raise StudyError(f"design_seed is {study.design_seed}: give a whole number from 0")
    if study.conjoint is not None:
        _tasks(study)
    elif study.attributes:
        _factorial(study)
    if study.points is not None and not 1 <= study.points <= study.full_size:
        raise StudyError(
            f"points is {study.points}, but the full factorial has {study.full_size}: "
            f"give 1 to {study.full_size}, or leave it out for all"
        )


def _tasks(study: Questionnaire) -> None:
    """What a conjoint design excludes."""
    blocks = study.conjoint.blocks if study.conjoint is not None else 1
    if study.points is not None:
        raise StudyError(
            f"points is {study.points}, a fraction of a factorial, and [conjoint] makes tasks of "
            "its own: remove points, and say how many with conjoint.tasks"
        )
    if blocks > max(1, len(study.personas)):
        raise StudyError(
            f"conjoint.blocks is {blocks}, one for each persona in turn, and there are "
            f"{len(study.personas)} personas: some tasks would never be asked; give at most "
            f"{max(1, len(study.personas))}"
        )


def _factorial(study: Questionnaire) -> None:
    """Attributes multiply cells quickly: refuse what nobody can ask, before it is made."""
    if study.full_size > _COUNTED:
        raise StudyError(
            f"the full factorial of prices and attributes has {study.full_size:.3g} cells, too "
            "many for a fraction of it: add [conjoint] with a number of tasks"
        )


def _filling(study: Questionnaire) -> None:
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
