"""Whatever is wrong with a study, in one call."""

from __future__ import annotations

from dataclasses import fields

from llmdemand.core.questionnaire.checking.names import check_unicode, one_of
from llmdemand.core.questionnaire.checking.people import (
    check_arms,
    check_personas,
    check_respondents,
)
from llmdemand.core.questionnaire.checking.prices import check_grids, warn_of_prices
from llmdemand.core.questionnaire.checking.size import check_fraction
from llmdemand.core.questionnaire.checking.templates import check_filling, check_templates
from llmdemand.core.questionnaire.measure import MEASURES
from llmdemand.core.questionnaire.questionnaire import Questionnaire
from llmdemand.errors import StudyError

__all__ = ["check"]

ORDERS = ("fixed", "rotate", "cross")
MODES = ("chat", "completion")


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
        check_unicode(getattr(study, field.name), field.name)
    check_grids(study)
    one_of("orders", study.orders, ORDERS)
    one_of("mode", study.mode, MODES)
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
    check_arms(study)
    check_personas(study)
    check_templates(study)
    check_respondents(study)
    check_fraction(study)
    check_filling(study)
    warn_of_prices(study)


def _measure(study: Questionnaire) -> None:
    one_of("measure", study.measure, tuple(MEASURES))
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
