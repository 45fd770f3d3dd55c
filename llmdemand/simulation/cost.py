"""What a study will cost, what it has cost, and the most that it may cost."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from llmdemand.core.resources import data_file
from llmdemand.errors import BudgetReached, UsageError

__all__ = ["FRAME", "LOOKS", "Budget", "Estimate", "Hold", "Ledger", "Prices", "known_prices"]

# Bytes per token of English text; prompts with many figures have more tokens.
_BYTES_PER_TOKEN = (5.0, 2.5)
#: Calls, at most, that an answer takes to find candidates by id where a server lists their texts.
LOOKS = 3
#: Tokens for role markers and the like, per call.
FRAME = 32
# Sums of shares are the whole up to this.
_ROUNDED = 1 + 1e-9


@dataclass(frozen=True, slots=True)
class Prices:
    """Prices of a model in US dollars per million tokens.

    Attributes
    ----------
    prompt, completion : float
        Of tokens read and of tokens written. Discounts (cached prompts, batches)
        are left out, so that costs are upper bounds.
    """

    prompt: float
    completion: float

    def __post_init__(self) -> None:
        for value in (self.prompt, self.completion):
            if not (value >= 0 and math.isfinite(value)):
                raise UsageError(
                    f"price of {value} per million tokens: give two numbers that are not negative"
                )

    def usd(self, prompt_tokens: float, completion_tokens: float) -> float:
        """Dollars for a number of tokens.

        >>> Prices(2.5, 10.0).usd(1_000_000, 100_000)
        3.5
        """
        return (prompt_tokens * self.prompt + completion_tokens * self.completion) / 1e6


@lru_cache(maxsize=1)
def _price_list() -> dict[str, list[float]]:
    found: dict[str, list[float]] = tomllib.loads(data_file("prices.toml").read_text("utf-8"))[
        "models"
    ]
    return found


def known_prices(model: str) -> Prices | None:
    """List prices of an OpenAI model, dated snapshots included; None if unknown.

    >>> known_prices("gpt-4o-2024-08-06")
    Prices(prompt=2.5, completion=10.0)
    >>> known_prices("gpt-4o-audio-preview") is None
    True
    """
    prices = _price_list()
    for name in sorted(prices, key=len, reverse=True):
        rest = model.removeprefix(name)
        if rest != model and not rest.strip("-0123456789"):
            return Prices(*prices[name])
    return None


@dataclass(frozen=True, slots=True)
class Budget:
    """The most that one call of `simulate` may use.

    Attributes
    ----------
    usd : float, optional
        US dollars.
    tokens : float, optional
        Tokens read and written together.
    overhead : float
        Tokens per call that the server may count beyond what can be known of it: a hidden
        system prompt, a chat template. The message that stops a run says how many.

    Raises
    ------
    UsageError
        If neither dollars nor tokens are given, or a number is not positive.
    """

    usd: float | None = None
    tokens: float | None = None
    overhead: float = 0.0

    def __post_init__(self) -> None:
        given = [v for v in (self.usd, self.tokens) if v is not None]
        if not given or not all(v > 0 and math.isfinite(v) for v in given):
            raise UsageError(
                f"budget of {self.usd} dollars and {self.tokens} tokens: give at least one "
                "positive number"
            )
        if not (self.overhead >= 0 and math.isfinite(self.overhead)):
            raise UsageError(f"overhead of {self.overhead} tokens per call: give none or more")

    def share(self, share: float) -> Budget:
        """The part of it that a share of the work may use; the overhead of a call is the same.

        >>> Budget(usd=64.0).share(1 / 64).usd
        1.0
        """
        if share == 1:
            return self
        usd = None if self.usd is None else self.usd * share
        return Budget(usd, None if self.tokens is None else self.tokens * share, self.overhead)


@dataclass(frozen=True, slots=True)
class Estimate:
    """What asking will take, before it starts.

    Attributes
    ----------
    asked, stored : int
        Answers that will be asked for, and that are stored already.
    prompt_tokens, completion_tokens : (float, float)
        Lowest and highest that can be expected.
    usd : (float, float) or None
        Cost in US dollars; None where no price is known.
    branches : int
        Most branches of these answers, counted in the upper ends.
    """

    asked: int
    stored: int
    prompt_tokens: tuple[float, float]
    completion_tokens: tuple[float, float]
    usd: tuple[float, float] | None
    branches: int = 0

    def __str__(self) -> str:
        """One sentence."""
        text = f"{self.asked:,} answers to ask"
        if self.stored:
            text += f" ({self.stored:,} are stored)"
        if self.asked:
            text += f" and up to {self.branches:,} branches of them" if self.branches else ""
            text += (
                f": {_range(*self.prompt_tokens)} tokens to read, "
                f"{_range(*self.completion_tokens)} to write"
            )
            if self.usd is not None and self.usd[1] > 0:
                text += f", ${_money(self.usd[0])} to ${_money(self.usd[1])}"
        return text


def _range(low: float, high: float) -> str:
    return f"{_short(low)} to {_short(high)}"


def _short(value: float) -> str:
    for size, name in ((1e9, " billion"), (1e6, " million"), (1e3, " thousand")):
        if value >= size:
            return f"{value / size:.3g}{name}"
    return f"{value:.0f}"


def _money(value: float) -> str:
    return f"{value:.2f}" if value >= 1 else f"{value:.2g}"


def prompt_range(bytes_: int) -> tuple[float, float]:
    """Tokens that a prompt of this many bytes is likely to have."""
    low, high = _BYTES_PER_TOKEN
    return bytes_ / low, bytes_ / high + FRAME


def prompt_bound(bytes_: int) -> int:
    """Tokens that it cannot exceed unless more is read than was sent: at most one per byte."""
    return bytes_ + FRAME


@dataclass
class Hold:
    """What is set aside for one call, and what has come of it.

    Attributes
    ----------
    worst : (float, float)
        Tokens and dollars that it cannot exceed, unless the server counts what it was not sent.
    tokens, usd : float
        What its answers took.
    calls : int
        Calls of the server that it consists of, at most.
    """

    worst: tuple[float, float]
    tokens: float = 0.0
    usd: float = 0.0
    calls: int = 1


@dataclass
class Ledger:
    """Running account of one call of `simulate`.

    Attributes
    ----------
    prices : Prices or None
        None where nothing is known of them; then only tokens are counted.
    budget : Budget or None
        The cap.
    tokens, usd : float
        Spent so far, as the backend reported it.
    lost : float
        Dollars of calls that failed on their way and may have been charged; they
        count against the cap.
    proven : bool
        Whether an answer has been booked. Before that nothing is known of how the server
        counts, and with a budget one call is made at a time.
    broken : str
        How the server was found to count what no bound allows for; empty if it was not.
    """

    prices: Prices | None
    budget: Budget | None = None
    tokens: float = 0.0
    usd: float = 0.0
    lost: float = 0.0
    proven: bool = False
    broken: str = ""
    _lost_tokens: float = 0.0
    _reserved: tuple[float, float] = field(default=(0.0, 0.0))

    def worst(self, bytes_: int, completion_tokens: int, calls: int = 1) -> tuple[float, float]:
        """Tokens and dollars that requests cannot exceed, in so many calls of the server."""
        prompt = prompt_bound(bytes_)
        surplus = calls * self.budget.overhead if self.budget is not None else 0.0
        usd = 0.0
        if self.prices:
            # What a server adds is read or written: nobody knows, so the dearer counts.
            dearer = max(self.prices.prompt, self.prices.completion)
            usd = self.prices.usd(prompt, completion_tokens) + surplus * dearer / 1e6
        return prompt + completion_tokens + surplus, usd

    def fits(self, worst: tuple[float, float]) -> bool:
        """Whether a call can be made that keeps the budget if it keeps its bound."""
        if self.budget is None:
            return True
        tokens = self.tokens + self._lost_tokens + self._reserved[0] + worst[0]
        usd = self.usd + self.lost + self._reserved[1] + worst[1]
        return not (
            (self.budget.tokens is not None and tokens > self.budget.tokens)
            or (self.budget.usd is not None and usd > self.budget.usd)
        )

    def reached(
        self, answered: str, worst: tuple[float, float], what: str, path: Path
    ) -> BudgetReached:
        """The error where the next call could exceed the budget; answers are in `path`."""
        lost = f" (and up to ${self.lost:.4g} on calls that were cut off)" if self.lost else ""
        return BudgetReached(
            f"the budget ends here: {answered}, ${self.usd:.4g} and {self.tokens:,.0f} tokens were "
            f"spent by this run{lost}, and the next {what} could take up to ${worst[1]:.2g} and "
            f"{worst[0]:,.0f} tokens; every answer is in {path}: give a higher budget to go on"
        )

    def reserve(self, worst: tuple[float, float]) -> None:
        """Set a call's worst case aside."""
        self._reserved = (self._reserved[0] + worst[0], self._reserved[1] + worst[1])

    def settle(self, worst: tuple[float, float]) -> None:
        """A call is over: free what was set aside."""
        self._reserved = (self._reserved[0] - worst[0], self._reserved[1] - worst[1])

    def spend(
        self,
        usage: Mapping[str, Any],
        worst: tuple[float, float],
        hold: Hold,
    ) -> tuple[float, float, float]:
        """Book one answer: tokens read, written and dollars (NaN where no price is known).

        An answer whose server does not count, or counts nonsense, is booked at its worst case.

        Parameters
        ----------
        usage : mapping
            ``prompt_tokens``, ``completion_tokens`` and ``nonsense``, as the readers give them.
        worst : (float, float)
            Of this answer.
        hold : Hold
            Of the call that it belongs to, which its answers together must keep to.
        """
        self.proven = True
        read, written = (
            float(nan if (nan := usage.get(k)) is not None else "nan")
            for k in ("prompt_tokens", "completion_tokens")
        )
        usd = self.prices.usd(read, written) if self.prices else math.nan
        counted = not math.isnan(read + written)
        tokens, paid = (read + written, usd) if counted else worst
        paid = 0.0 if math.isnan(paid) else paid
        self.tokens, self.usd = self.tokens + tokens, self.usd + paid
        hold.tokens, hold.usd = hold.tokens + tokens, hold.usd + paid
        if nonsense := usage.get("nonsense"):
            self.broken = self.broken or f"counts {nonsense}, which is no number of tokens"
        elif hold.tokens > hold.worst[0] * _ROUNDED or hold.usd > hold.worst[1] * _ROUNDED:
            self.broken = self.broken or self._surplus(hold)
        return read, written, usd

    def _surplus(self, hold: Hold) -> str:
        """By how much an answer broke its bound."""
        more = f"counts {hold.tokens:,.0f} tokens for what could take {hold.worst[0]:,.0f} at most"
        if hold.usd > hold.worst[1] * _ROUNDED:
            more += f" (${hold.usd:.3g} for ${hold.worst[1]:.3g})"
        # Where only dollars are too many, tokens were written in place of tokens read.
        surplus = max(hold.tokens - hold.worst[0], 0.0)
        if self.prices and (dearer := max(self.prices.prompt, self.prices.completion)):
            surplus = max(surplus, (hold.usd - hold.worst[1]) * 1e6 / dearer)
        allowed = self.budget.overhead if self.budget is not None else 0.0
        each = allowed + surplus / hold.calls
        return (
            f"{more}: it adds to what it is sent (a hidden prompt, a template) or ignores the most "
            "tokens that it may write; to go on, allow it that many more a call: --overhead "
            f"{1.2 * each:.0f}"
        )

    @property
    def excess(self) -> str:
        """How far beyond the budget the account is, in words; that it is not, where it is not."""
        over = []
        if self.budget is not None and self.budget.usd is not None:
            spent = self.usd + self.lost
            over += [f"${spent - self.budget.usd:.4g}"] if spent > self.budget.usd else []
        if self.budget is not None and self.budget.tokens is not None:
            spent = self.tokens + self._lost_tokens
            over += (
                [f"{spent - self.budget.tokens:,.0f} tokens"] if spent > self.budget.tokens else []
            )
        return f"{' and '.join(over)} beyond the budget" if over else "within the budget"

    def lose(self, worst: tuple[float, float]) -> None:
        """Book a call that may have been charged without an answer."""
        self._lost_tokens += worst[0]
        self.lost += worst[1]
