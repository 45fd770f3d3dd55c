"""How many cells a study has, and which fraction of them it asks."""

from __future__ import annotations

from llmdemand.core.questionnaire.questionnaire import Questionnaire
from llmdemand.errors import StudyError

__all__ = ["check_fraction"]

_COUNTED = 2**62  # positions that a fraction can tell apart


def check_fraction(study: Questionnaire) -> None:
    """Refuse a fraction that is larger than the whole, and a whole that nobody can count."""
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
