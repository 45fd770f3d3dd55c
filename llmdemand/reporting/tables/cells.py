"""Numbers as people read them in a table."""

from __future__ import annotations

import numpy as np

__all__ = ["asked_at", "estimate", "number", "percent", "short_span", "span"]


def number(value: float, digits: int = 4) -> str:
    """A number for people: fixed digits, ``inf`` where infinite, ``-`` where unknown."""
    if np.isnan(value):
        return "-"
    if np.isinf(value):
        return "inf" if value > 0 else "-inf"
    return f"{value:.{digits}f}"


def span(lower: float, upper: float, digits: int = 4) -> str:
    """An interval for people."""
    return f"{number(lower, digits)}, {number(upper, digits)}"


def percent(value: float) -> str:
    """A share as a percentage."""
    return "-" if np.isnan(value) else f"{100 * value:.1f} %"


def estimate(value: float, se: float) -> str:
    """A number and its standard error in brackets.

    >>> estimate(-0.35, 0.0012), estimate(float("nan"), float("nan"))
    ('-0.3500 (0.0012)', '-')
    """
    return "-" if np.isnan(value) else f"{number(value)} ({number(se)})"


def short_span(value: float, lower: float, upper: float) -> str:
    """A number with its interval, to four significant digits.

    >>> short_span(34.7719, 34.7, 34.85), short_span(float("nan"), 0.0, 1.0)
    ('34.77 [34.7, 34.85]', '-')
    """
    if np.isnan(value):
        return "-"
    low, high = ("?" if np.isnan(v) else f"{v:.4g}" for v in (lower, upper))
    return f"{value:.4g} [{low}, {high}]"


def asked_at(quantity: str, at: float) -> str:
    """A quantity, and where it was asked for.

    >>> asked_at("elasticity", 37.5), asked_at("indifference price", float("nan"))
    ('elasticity at 37.5', 'indifference price')
    """
    if np.isnan(at) or quantity.startswith("revenue"):
        return quantity
    return f"{quantity} at {'cost ' if quantity.startswith('profit') else ''}{at:g}"
