"""The functions that formulas know beside formulaic's own."""

from __future__ import annotations

from typing import Any

import numpy as np

from llmdemand.errors import DesignError

__all__ = ["functions"]


def _log(values: Any) -> Any:
    """Natural logarithm of positive numbers."""
    found = np.asarray(values, float)
    if (found <= 0).any():
        raise DesignError(
            f"log of {found.min():g}: logarithms need positive values; use the price itself, or "
            "leave out rows at zero"
        )
    return np.log(values)


def _round_number(values: Any, step: float | None = None) -> Any:
    """One where a price is a multiple of `step`, else zero."""
    if step is None or not step > 0:
        raise DesignError(
            "round(price, 5) marks prices that are multiples of 5: give a positive step "
            "(it does not round; use np.round for that)"
        )
    ratio = np.asarray(values, float) / step
    return (np.abs(ratio - np.round(ratio)) < 1e-9 * np.maximum(1, np.abs(ratio))) * 1.0


def _same(values: Any) -> Any:
    """An offset's values: its column is taken out of the matrix."""
    return np.asarray(values, np.float64)


#: What formulas know beside formulaic's own transforms.
_CONTEXT = {
    "abs": np.abs,
    "log": _log,
    "log1p": np.log1p,
    "offset": _same,
    "round": _round_number,
    "sqrt": np.sqrt,
}


def functions(kinds: dict[str, str]) -> dict[str, Any]:
    """Functions, with levels of whole numbers and of flags named as the data have them."""
    from formulaic.transforms import C

    def levels(values: Any, *given: Any, **options: Any) -> Any:
        kind = kinds.get(str(getattr(values, "name", "")))
        if kind and values.dtype == np.float64 and (values % 1 == 0).all():
            values = values.astype(np.bool_ if kind == "b" else np.int64)
        return C(values, *given, **options)

    return {**_CONTEXT, "C": levels}
