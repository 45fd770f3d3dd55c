"""The formula language: from columns to regressors, with every wrong name explained."""

from __future__ import annotations

import ast
import re
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from llmdemand.errors import DesignError, LLMDemandError, UsageError, nearest
from llmdemand.modeling.arrays import Array

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Part", "evaluate", "looks_at_all_rows", "part", "split", "variables"]

_ANSI = re.compile(r"\x1b\[[0-9;]*m")
_QUOTED = re.compile(r"`([^`]+)`")
_STATEFUL = re.compile(r"\b(bs|cs|cc|cr|poly|center|scale|standardize|hashed|lag)\s*\(")
_KNOTTED = re.compile(r"\b(bs|cs|cc|cr)\s*\([^()]*knots\s*=")


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


#: What formulas know beside formulaic's own transforms.
_CONTEXT = {"log": _log, "round": _round_number, "abs": np.abs, "sqrt": np.sqrt}


@dataclass(frozen=True)
class Part:
    """One part of a formula's right-hand side, ready for any data.

    Attributes
    ----------
    text : str
        As it was written.
    terms : tuple of str
        Names of its columns, ``const`` for the intercept.
    spec : object
        formulaic's record of levels and knots; None for an empty part.
    """

    text: str
    terms: tuple[str, ...]
    spec: Any

    def matrix(self, frame: pd.DataFrame) -> Array:
        """Regressors of these rows, (R, K).

        Raises
        ------
        DesignError
            For a category that the sample did not have, or a value outside a transform's domain.
        """
        if self.spec is None:
            return np.empty((len(frame), 0))
        return _matrix(self.spec, frame, self.text)[0]


def split(formula: str) -> tuple[str, list[str]]:
    """The outcome and the parts of the right-hand side, divided by ``|``.

    >>> split("choice ~ price + catch | income")
    ('choice', ['price + catch', 'income'])

    Raises
    ------
    DesignError
        Without exactly one ``~``.
    """
    if not isinstance(formula, str):
        raise UsageError(f"formula {formula!r}: give text, as 'choice ~ price'")
    left, tilde, right = formula.partition("~")
    if not tilde or not left.strip() or not right.strip() or "~" in right:
        raise DesignError(
            f"formula {formula!r} cannot be read: write outcome ~ regressors,"
            " as in 'choice ~ price'"
        )
    return left.strip(), [p.strip() for p in right.split("|")]


def variables(text: str, columns: list[str]) -> list[str]:
    """The columns that a part names, in the order of the data.

    >>> variables("log(price) + C(arm):`unit price`", ["arm", "price", "unit price", "cell"])
    ['arm', 'price', 'unit price']

    Raises
    ------
    DesignError
        For a name that is no column, with the nearest one.
    """
    quoted = _QUOTED.findall(text)
    # A formula is nearly Python; formulaic's own list forgets arguments beside brackets.
    python = _QUOTED.sub("1", text).replace(":", "*").replace("^", "**")
    try:
        tree = ast.parse(python.strip(), mode="eval")
    except SyntaxError:
        raise DesignError(
            f"formula {text!r} cannot be read: write terms with +, as in 'price + C(persona)'"
        ) from None
    called = {id(n) for c in ast.walk(tree) if isinstance(c, ast.Call) for n in ast.walk(c.func)}
    named = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and id(n) not in called}
    found = named | set(quoted)
    for name in sorted(found - set(columns)):
        raise DesignError(f"formula {text!r}: no column {name!r}{nearest(name, columns)}")
    return [c for c in columns if c in found]


def looks_at_all_rows(text: str, *, knots_suffice: bool = False) -> bool:
    """Whether a transform depends on the whole sample (quantile knots, means).

    >>> looks_at_all_rows("log(price)"), looks_at_all_rows("bs(price, df=4)")
    (False, True)
    """
    count = len(_STATEFUL.findall(text))
    return count > (len(_KNOTTED.findall(text)) if knots_suffice else 0)


def part(text: str, frame: pd.DataFrame) -> Part:
    """A part's terms and record, from the rows that define its levels and knots.

    ``0`` and ``-1`` alone are the empty part.
    """
    if text in ("0", "-1"):
        return Part(text, (), None)
    _, names, spec = _matrix(_parsed(text), frame, text)
    return Part(text, names, spec)


def evaluate(text: str, frame: pd.DataFrame) -> Array:
    """The values of one numeric expression, (R,).

    Raises
    ------
    DesignError
        If it is not one numeric column.
    """
    if text in frame.columns:
        column = frame[text]
        if column.dtype.kind not in "fiub":
            raise DesignError(
                f"outcome {text!r} holds {column.dtype}, not numbers: give 0/1 or fractions, "
                f"such as I({text} == 'name')"
            )
        return column.to_numpy(np.float64)
    variables(text, [str(c) for c in frame.columns])
    matrix, _, _ = _matrix(_parsed(f"0 + {text}"), frame, text)
    if matrix.shape[1] == 2 and text.startswith("I("):
        return matrix[:, 1]  # formulaic makes two columns of a condition: false, true
    if matrix.shape[1] != 1:
        raise DesignError(f"outcome {text!r} must be one numeric column")
    return matrix[:, 0]


def _parsed(text: str) -> Any:
    import formulaic
    from formulaic.errors import FormulaicError

    try:
        return formulaic.Formula(text)
    except (FormulaicError, SyntaxError, ValueError, TypeError) as error:
        raise DesignError(f"formula {text!r} cannot be read: {_first_line(error)}") from None


def _matrix(spec: Any, frame: pd.DataFrame, text: str) -> tuple[Array, tuple[str, ...], Any]:
    from formulaic.errors import DataMismatchWarning, FormulaicError

    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore", RuntimeWarning)  # values are checked below
            warnings.simplefilter("error", DataMismatchWarning)
            made = spec.get_model_matrix(frame, context=_CONTEXT, na_action="ignore")
    except DataMismatchWarning as error:
        named = str(error).partition("dataset):")[2].partition("}")[0].strip(" {")
        levels = re.sub(r"np\.\w+\(([^()]*)\)", r"\1", named).split(", ")
        shown = ", ".join(levels[:3]) + (", ..." if len(levels) > 3 else "")
        raise DesignError(
            f"{text!r}: {shown or 'a category'} is not in the data that were fitted"
        ) from None
    except (
        FormulaicError,
        ArithmeticError,
        NameError,
        AttributeError,
        SyntaxError,
        ValueError,
        TypeError,
    ) as error:
        if isinstance(error.__cause__, LLMDemandError):
            raise error.__cause__ from None
        if "extrapolation" in str(error):
            raise DesignError(
                f"{text!r}: a value lies outside the range of the data that the spline was fitted "
                "to; stay within it, or write bs(..., extrapolation='extend')"
            ) from None
        raise DesignError(f"formula {text!r} cannot be read: {_first_line(error)}") from None
    names = tuple("const" if c == "Intercept" else str(c) for c in made.columns)
    matrix = made.to_numpy(np.float64)
    bad = ~np.isfinite(matrix).all(axis=0)
    if bad.any():
        raise DesignError(
            f"term {names[int(np.argmax(bad))]!r} is not finite in "
            f"{int((~np.isfinite(matrix)).any(axis=1).sum())} rows: mend or leave out the values "
            "outside its domain"
        )
    return matrix, names, made.model_spec


def _first_line(error: Exception) -> str:
    return _ANSI.sub("", str(error)).strip().partition("\n")[0]
