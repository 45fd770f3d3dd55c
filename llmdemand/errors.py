"""The exceptions of llmdemand, one sentence each.

    LLMDemandError                 anything that llmdemand raises on purpose
    |-- MenuError        (ValueError)   a choice set that cannot be told apart
    |-- StudyError       (ValueError)   a study file or template that is wrong
    |-- PanelError       (ValueError)   a panel that is unreadable or breaks its schema
    |-- DesignError      (ValueError)   data on which the asked estimate does not exist
    |-- ResponseError    (ValueError)   a response file that cannot be read
    |-- BackendError     (RuntimeError) a language model that did not answer
    |   `-- TransportError              a call that failed on its way and may be repeated
    |-- StoreError       (RuntimeError) a response store that cannot be read or written
    |-- BudgetReached    (RuntimeError) the budget ends before the study does
    |-- WorkersLost      (RuntimeError) processes or workers that end by themselves
    |-- UsageError       (ValueError)   an option or argument with an impossible value
    `-- MissingExtra     (ImportError)  an optional part that is not installed

Every message says what was found, what was expected and what to do.
"""

from __future__ import annotations

from typing import Any, get_args

__all__ = [
    "BackendError",
    "BudgetReached",
    "DesignError",
    "LLMDemandError",
    "MenuError",
    "MissingExtra",
    "PanelError",
    "ResponseError",
    "StoreError",
    "StudyError",
    "TransportError",
    "UsageError",
    "WorkersLost",
    "choose",
    "nearest",
    "warn",
]


class LLMDemandError(Exception):
    """Root of every exception that llmdemand raises on purpose."""


class MenuError(LLMDemandError, ValueError):
    """A choice set whose alternatives cannot be told apart or are malformed."""


class StudyError(LLMDemandError, ValueError):
    """A study (file, template or design) that is wrong or unknown."""


class PanelError(LLMDemandError, ValueError):
    """A panel that cannot be read or does not follow the schema."""


class DesignError(LLMDemandError, ValueError):
    """Data on which the requested estimate does not exist."""


class ResponseError(LLMDemandError, ValueError):
    """A stored response that cannot be read; the message names line and field."""


class BackendError(LLMDemandError, RuntimeError):
    """A language model that could not be reached, or refused the request."""


class TransportError(BackendError):
    """A call that failed on its way; the runner repeats it, within its patience.

    Parameters
    ----------
    message : str
        What was found, in one line.
    rate_limited : bool
        Whether the server asks for fewer calls.
    retry_after : float
        Seconds that the server asks to wait.
    maybe_billed : bool
        Whether the server may have computed, and charged, an answer that was lost.
    slow : bool
        Whether the server took longer than it was given, and may still be at work.
    """

    def __init__(
        self,
        message: str,
        *,
        rate_limited: bool = False,
        retry_after: float = 0.0,
        maybe_billed: bool = False,
        slow: bool = False,
    ) -> None:
        super().__init__(message)
        self.rate_limited = rate_limited
        self.retry_after = retry_after
        self.maybe_billed = maybe_billed
        self.slow = slow


class StoreError(LLMDemandError, RuntimeError):
    """A response store that cannot be read or written."""


class BudgetReached(LLMDemandError, RuntimeError):
    """The budget ends before the study does; every answer so far is in the store."""


class WorkersLost(LLMDemandError, RuntimeError):
    """Processes or workers of a cluster that end by themselves, again and again."""


class UsageError(LLMDemandError, ValueError):
    """An option or argument with an impossible value."""


class MissingExtra(LLMDemandError, ImportError):
    """An optional part that is not installed; the message names the command."""


def nearest(word: str, known: list[str] | tuple[str, ...]) -> str:
    """A hint `` (did you mean 'x'?)`` for a misspelt name, or an empty string.

    >>> nearest("prise", ["price", "cell"])
    " (did you mean 'price'?)"
    >>> nearest("zzz", ["price"])
    ''
    """
    from difflib import get_close_matches

    hits = get_close_matches(word, known, n=1)
    return f" (did you mean {hits[0]!r}?)" if hits else ""


def choose(value: object, known: Any, what: str) -> None:
    """Raise for an option that is not one of a Literal's.

    >>> from typing import Literal
    >>> choose("mean", Literal["mean", "sum"], "average")
    """
    options = get_args(known)
    if value not in options:
        raise UsageError(
            f"{what}={value!r}{nearest(str(value), options)}: use {' or '.join(map(repr, options))}"
        )


def warn(message: str, category: type[Warning]) -> None:
    """Warn at the line of the caller's own code that led here, however deep inside this is."""
    import sys
    import warnings

    package = __name__.partition(".")[0]
    level, frame = 2, sys._getframe(1)
    while frame.f_back and frame.f_globals.get("__name__", "").partition(".")[0] == package:
        level, frame = level + 1, frame.f_back
    warnings.warn(message, category, stacklevel=level)
