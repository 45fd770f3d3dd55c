"""Names and texts: one of those known, an id of its own, characters that exist."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from llmdemand.core.questionnaire.prompts import Variant
from llmdemand.errors import StudyError, nearest

__all__ = ["check_unicode", "one_of", "own_ids"]


def check_unicode(value: Any, where: str) -> None:
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
            check_unicode(name, f"a name in {where}")
            check_unicode(part, f"{where}, {name!r}" if isinstance(name, str) else where)
    elif isinstance(value, Variant):
        check_unicode(value.to_dict(), f"variant {value.id!a}")
    elif hasattr(value, "to_dict"):
        check_unicode(value.to_dict(), where)
    elif isinstance(value, list | tuple) and not (value and isinstance(value[0], float)):
        for part in value:
            check_unicode(part, where)


def one_of(name: str, value: str, allowed: tuple[str, ...]) -> None:
    """Refuse a value that is none of those known, with the nearest."""
    if value not in allowed:
        raise StudyError(
            f"{name} is {value!r}{nearest(value, allowed)}: use one of {', '.join(allowed)}"
        )


def own_ids(ids: Sequence[str | None], what: str) -> None:
    """Refuse ids that are missing or given twice."""
    if not all(ids) or len(set(ids)) < len(ids):
        raise StudyError(f"every {what} needs an 'id' of its own, found {list(ids)}: rename one")
