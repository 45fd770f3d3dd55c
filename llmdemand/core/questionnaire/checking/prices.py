"""Prices: grids that can be told apart, and prices that are rarely meant."""

from __future__ import annotations

import math
import string
from typing import Any

from llmdemand.core.questionnaire.fields import MOST_PRICES
from llmdemand.core.questionnaire.questionnaire import Questionnaire
from llmdemand.errors import StudyError, warn

__all__ = ["PriceWarning", "check_grids", "warn_of_prices"]

# Cells that are written out: their prompts alone would take gigabytes.
_MOST_CELLS = 1_000_000


class PriceWarning(UserWarning):
    """A price that can be meant, but rarely is: nothing, or less."""


def check_grids(study: Questionnaire) -> None:
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


def warn_of_prices(study: Questionnaire) -> None:
    """Warn of prices of nothing or less that a prompt shows."""
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
