"""How a consumer whose demand is known is named: its truth, written out."""

from __future__ import annotations

from collections.abc import Sequence

from llmdemand.simulation.backends.known.consumer import Consumer
from llmdemand.simulation.backends.known.numbers import NumberConsumer

__all__ = ["curve", "published", "short", "worths"]


def published(grid: Sequence[float]) -> tuple[float, float]:
    """Slope and indifference price of the published study on another price grid.

    With prices from a to b, the same shares at the same places in the range:
    ``slope = -8.025 / (b - a)``, ``indifference = a + 0.32 (b - a)``.

    >>> published([30, 45]), published([1.0, 2.5])
    ((-0.535, 34.8), (-5.35, 1.48))
    """
    low, high = min(grid), max(grid)
    if low == high:
        return -0.535, float(low)
    return round(-8.025 / (high - low), 12), round(low + 0.32 * (high - low), 12)


def curve(consumer: Consumer | NumberConsumer, *, usual: bool) -> str:
    """Where the shares come from, in the words that name the model."""
    if isinstance(consumer, NumberConsumer):
        what = "log E q = log(n / 2) +" if consumer.kind == "quantity" else "logit P(y > k) ="
        more = "" if consumer.kind == "quantity" else " - cut_k"
        term = f"{short(consumer.slope)} * (price - {short(consumer.indifference)})"
        return f"{what} {term}{more}"
    if consumer.constants is not None:
        terms = [f"{a} {short(v)}" for a, v in consumer.constants.items()]
        return f"utility {', '.join(terms)}, price {short(consumer.slope)}{worths(consumer)}"
    where = " where rivals cost their mean" if usual else ""
    indifference = short(consumer.indifference)
    own = f"logit p = {short(consumer.slope)} * (price - {indifference}){where}"
    return own + worths(consumer)


def worths(consumer: Consumer) -> str:
    """Utilities of levels, in the words that name the model."""
    told = [
        f"{x} {f'{level:g}' if isinstance(level, float) else level} {short(u)}"
        for x, worths in consumer.part_worths.items()
        for level, u in worths.items()
    ]
    return f", {', '.join(told)}" if told else ""


def short(value: float) -> str:
    """A number as ``:g`` writes it, in full where that would name another number."""
    text = f"{value:g}"
    return text if float(text) == value else repr(float(value))
