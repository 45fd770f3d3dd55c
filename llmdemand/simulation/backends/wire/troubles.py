"""What a server says where it gives no answer: which trouble it is, in its own words."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["Trouble", "cleaned", "retry_after"]

_LONGEST = 200
_EMPTY = re.compile(
    r"insufficient[_ ](?:quota|funds|balance|credits?)|billing_(?:hard_limit|not_active)"
    r"|exceeded your current quota|credit balance is too low|(?:out of|no) credits?\b"
    r"|billing hard limit|payment required|account is not active",
    re.IGNORECASE,
)
# Some call a limit per minute a quota, and say when it is over.
_LATER = re.compile(r"(?:try again|retry)\s+(?:in|after)\s+\d", re.IGNORECASE)
_FILTER = re.compile(
    r"content management policy|content ?policy ?violation|ResponsibleAIPolicyViolation"
    r"|flagged as potentially violating|['\"]content_filter['\"]",
    re.IGNORECASE,
)
_FILTERS = {"content_filter", "content_policy_violation", "responsibleaipolicyviolation"}
# A filter refuses a request: what fails on the server's own side is none.
_REFUSALS = {200, 400, 403, 422}


@dataclass(frozen=True, slots=True)
class Trouble:
    """An error as a server tells it.

    Attributes
    ----------
    status : int
        Of HTTP, or the one that stands inside of an answer with status 200.
    names : tuple of str
        Its code and type, and those of the error inside of it: proxies rename or hide some.
    words : str
        The message, in one line.
    """

    status: int
    names: tuple[str, ...]
    words: str

    @classmethod
    def of(cls, error: Any, status: int = 200) -> Trouble:
        """Read an error object, or a text in its place.

        >>> Trouble.of({"message": "slow down", "code": "429"})
        Trouble(status=429, names=('429',), words='slow down')
        """
        told = error if isinstance(error, Mapping) else {"message": error}
        inner = told.get("innererror") or told.get("inner_error")
        parts = [told, inner if isinstance(inner, Mapping) else {}]
        names = tuple(
            str(p[k])[:_LONGEST] for p in parts for k in ("code", "type") if _plain(p.get(k))
        )
        said = next((told[k] for k in ("message", "detail", "error") if told.get(k)), None)
        lines = str(said).splitlines() if _plain(said) else [", ".join(names) or "no reason given"]
        if status == 200:
            status = next((int(n) for n in names if re.fullmatch(r"[45]\d\d", n)), status)
        return cls(status, names, (lines or [""])[0][:_LONGEST])

    def _names(self, pattern: re.Pattern[str]) -> bool:
        return any(pattern.search(name) for name in self.names)

    def exhausted(self, wait: float) -> bool:
        """Whether an account has nothing left, so that waiting is useless.

        Parameters
        ----------
        wait : float
            Seconds that the server asks to wait; 0 where it does not say. What is only worded
            like an empty account, and is over after that, is a rate limit.
        """
        if self.status == 402 or self._names(_EMPTY):
            return True
        later = wait > 0 or _LATER.search(self.words) is not None
        return self.status in (200, 400, 403, 429) and not later and bool(_EMPTY.search(self.words))

    @property
    def filtered(self) -> bool:
        """Whether a content filter refused this one request."""
        return self.status in _REFUSALS and (
            any(name.lower() in _FILTERS for name in self.names) or bool(_FILTER.search(self.words))
        )

    @property
    def passing(self) -> bool:
        """Whether the same call may succeed later."""
        return self.status in (408, 409, 425, 429) or self.status >= 500

    @property
    def crowded(self) -> bool:
        """Whether the server asks for fewer calls."""
        return self.status in (429, 503)


def _plain(value: Any) -> bool:
    return isinstance(value, str | int | float) and not isinstance(value, bool) and value != ""


def retry_after(headers: Mapping[str, str]) -> float:
    """Seconds that a server asks to wait; 0 where it does not say.

    >>> retry_after({"retry-after-ms": "400"})
    0.4
    """
    from email.utils import parsedate_to_datetime
    from math import isfinite
    from time import time

    for name, unit in (("retry-after-ms", 1e-3), ("retry-after", 1.0)):
        value = headers.get(name)
        if value is None:
            continue
        try:
            seconds = float(value) * unit
        except ValueError:
            try:
                seconds = parsedate_to_datetime(value).timestamp() - time()
            except (TypeError, ValueError, OverflowError):
                continue
        if isfinite(seconds):
            return max(0.0, seconds)
    return 0.0


def cleaned(words: str, secrets: Iterable[str]) -> str:
    """Words without secrets, and without anything else that looks like a key.

    >>> cleaned("Incorrect key abc or sk-123", ["abc"])
    'Incorrect key <key> or <key>'
    """
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        words = words.replace(secret, "<key>")
    return re.sub(r"sk-[\w*-]+", "<key>", words)
