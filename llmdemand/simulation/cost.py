"""What a study will cost, what it has cost, and the most that it may cost."""

from __future__ import annotations

import math
import tomllib
from dataclasses import dataclass, field
from functools import lru_cache

from llmdemand.core.resources import data_file
from llmdemand.errors import UsageError

__all__ = ["FRAME", "LOOKS", "Budget", "Estimate", "Ledger", "Prices", "known_prices"]

# Bytes per token of English text; prompts with many figures have more tokens.
_BYTES_PER_TOKEN = (5.0, 2.5)
#: Calls, at most, that an answer takes to find candidates by id where a server lists their texts.
LOOKS = 3
#: Tokens for role markers and the like, at most, per call.
FRAME = 32


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

    Raises
    ------
    UsageError
        If neither is given, or one is not positive.
    """

    usd: float | None = None
    tokens: float | None = None

    def __post_init__(self) -> None:
        given = [v for v in (self.usd, self.tokens) if v is not None]
        if not given or not all(v > 0 and math.isfinite(v) for v in given):
            raise UsageError(
                f"budget of {self.usd} dollars and {self.tokens} tokens: give at least one "
                "positive number"
            )


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
    """Tokens that it cannot exceed: no tokenizer needs more than one per byte."""
    return bytes_ + FRAME


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
    """

    prices: Prices | None
    budget: Budget | None = None
    tokens: float = 0.0
    usd: float = 0.0
    lost: float = 0.0
    _lost_tokens: float = 0.0
    _reserved: tuple[float, float] = field(default=(0.0, 0.0))

    def worst(self, bytes_: int, completion_tokens: int) -> tuple[float, float]:
        """Tokens and dollars that a call cannot exceed."""
        prompt = prompt_bound(bytes_)
        usd = self.prices.usd(prompt, completion_tokens) if self.prices else 0.0
        return prompt + completion_tokens, usd

    def fits(self, worst: tuple[float, float]) -> bool:
        """Whether a call can be made without any chance to exceed the budget."""
        if self.budget is None:
            return True
        tokens = self.tokens + self._lost_tokens + self._reserved[0] + worst[0]
        usd = self.usd + self.lost + self._reserved[1] + worst[1]
        return not (
            (self.budget.tokens is not None and tokens > self.budget.tokens)
            or (self.budget.usd is not None and usd > self.budget.usd)
        )

    def reserve(self, worst: tuple[float, float]) -> None:
        """Set a call's worst case aside."""
        self._reserved = (self._reserved[0] + worst[0], self._reserved[1] + worst[1])

    def settle(self, worst: tuple[float, float]) -> None:
        """A call is over: free what was set aside."""
        self._reserved = (self._reserved[0] - worst[0], self._reserved[1] - worst[1])

    def spend(
        self, prompt_tokens: float, completion_tokens: float, worst: tuple[float, float]
    ) -> float:
        """Book one answer; returns its dollars (NaN where no price is known).

        An answer whose server does not count is booked at its worst case.
        """
        if math.isnan(prompt_tokens + completion_tokens):
            self.tokens, self.usd = self.tokens + worst[0], self.usd + worst[1]
            return math.nan
        self.tokens += prompt_tokens + completion_tokens
        usd = self.prices.usd(prompt_tokens, completion_tokens) if self.prices else math.nan
        self.usd += 0.0 if math.isnan(usd) else usd
        return usd

    def lose(self, worst: tuple[float, float]) -> None:
        """Book a call that may have been charged without an answer."""
        self._lost_tokens += worst[0]
        self.lost += worst[1]
