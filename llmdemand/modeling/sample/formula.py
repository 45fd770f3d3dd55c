"""The formula language: from columns to regressors, with every wrong name explained."""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from llmdemand.errors import DesignError, LLMDemandError, UsageError, nearest
from llmdemand.modeling.arrays import Array
from llmdemand.modeling.sample.columns import is_text, number, plain
from llmdemand.modeling.sample.language import Reading, read, verify
from llmdemand.modeling.sample.plain_sum import PlainSum
from llmdemand.modeling.sample.readable import readable
from llmdemand.modeling.sample.tokens import parts
from llmdemand.modeling.sample.transforms import functions

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "Part",
    "apart",
    "evaluate",
    "looks_at_all_rows",
    "offset_note",
    "part",
    "split",
    "variables",
    "without_offsets",
]

_ANSI = re.compile(r"\x1b\[[0-9;]*m")
_STATEFUL = re.compile(r"\b(bs|cs|cc|cr|poly|center|scale|standardize)\s*\(")
_KNOTTED = re.compile(r"\b(bs|cs|cc|cr)\s*\([^()]*knots\s*=")


_INTERCEPT = ("const", "Intercept")


@dataclass(frozen=True)
class Part:
    """One part of a formula's right-hand side, ready for any data.

    Attributes
    ----------
    text : str
        As it was written.
    terms : tuple of str
        Names of its columns, ``const`` for the intercept, offsets left out.
    spec : object
        formulaic's record of levels and knots, or a `PlainSum`; None for an empty part.
    """

    text: str
    terms: tuple[str, ...]
    spec: Any

    @property
    def offset(self) -> bool:
        """Whether it holds an offset."""
        return bool(read(self.text).offsets)

    def alone(self, variable: str) -> tuple[str, ...]:
        """The terms that are made of one variable and of no other."""
        if self.spec is None or isinstance(self.spec, PlainSum):
            return tuple(t for t in self.terms if t == variable and self.spec is not None)
        names, known = set(read(self.text).names), self.spec.column_names
        mine = [
            known[k]
            for term, columns in self.spec.term_indices.items()
            if {str(v) for v in self.spec.term_variables[term]} & names == {variable}
            for k in columns
        ]
        return tuple(t for t in self.terms if t in mine)

    def matrix(self, frame: pd.DataFrame) -> Array:
        """Regressors of these rows, (R, K).

        Raises
        ------
        DesignError
            For a category that the sample did not have, or a value outside a transform's domain.
        """
        return self.made(frame)[0]

    def made(self, frame: pd.DataFrame) -> tuple[Array, Array | None]:
        """Regressors of these rows, and the sum of the offsets, (R,), where there are any."""
        if self.spec is None:
            return np.empty((len(frame), 0)), None
        reading = read(self.text)
        return _divided(*_matrix(self.spec, frame, reading, self.text)[:2], reading)[::2]


def split(formula: str) -> tuple[str, list[str]]:
    """The outcome and the parts of the right-hand side, divided by ``|``.

    >>> split("choice ~ price + catch | income")
    ('choice', ['price + catch', 'income'])

    Raises
    ------
    DesignError
        Without exactly one ``~``; for an outcome that is among the regressors.
    """
    sides = parts(formula)
    if len(sides) != 2 or len(sides[0]) > 1 or not all(t for side in sides for t in side):
        raise DesignError(
            f"formula {formula!r} cannot be read: write outcome ~ regressors,"
            " as in 'choice ~ price'"
        )
    return sides[0][0], sides[1]


def apart(outcomes: Sequence[str], texts: Sequence[str]) -> None:
    """Refuse an outcome that is a column among the regressors: it would explain itself."""
    for text in texts:
        for outcome in outcomes:
            if outcome in read(text).names:
                raise DesignError(
                    f"formula {text!r} has the outcome {outcome!r} among the regressors, which "
                    "would explain it fully: leave it out"
                )


def without_offsets(texts: Sequence[str], what: str) -> None:
    """Refuse offsets where nothing is made of them."""
    for text in texts:
        if read(text).offsets:
            raise UsageError(
                f"formula {text!r} has an offset, which {what} does not take: leave it out"
            )


def offset_note(text: str) -> tuple[str, ...]:
    """What a summary says of the offsets."""
    offsets = read(text).offsets
    return (f"{' + '.join(offsets)}: the coefficient is fixed at 1",) if offsets else ()


def variables(text: str, columns: Sequence[str], *, offsets: bool = True) -> list[str]:
    """The columns that a part names, in the order of the data.

    >>> variables("log(price) + C(arm):`unit price`", ["arm", "price", "unit price", "cell"])
    ['arm', 'price', 'unit price']

    Parameters
    ----------
    text : str
        A part of a formula.
    columns : sequence of str
        Those of the data.
    offsets : bool
        Whether columns that only offsets name are among them.

    Raises
    ------
    DesignError
        For a name that is no column, with the nearest one; for what is not of the language.
    """
    reading = read(text)
    for name in sorted(set(reading.names) - set(columns)):
        raise DesignError(f"formula {text!r}: no column {name!r}{nearest(name, list(columns))}")
    found = set(reading.names if offsets else reading.fitted)
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

    Raises
    ------
    DesignError
        For text that is numbers or has more than 100 levels and stands outside of ``C()``, and
        for columns with the intercept's name.
    """
    if text in ("0", "-1"):
        return Part(text, (), None)
    reading = read(text)
    for name in reading.names:
        if name in _INTERCEPT:
            raise DesignError(
                f"formula {text!r}: column {name!r} has the name of the constant, which is added "
                "without being named: leave it out, or rename the column"
            )
    plain_sum = PlainSum.of(text, frame)
    if plain_sum is not None:
        return Part(text, plain_sum.terms, plain_sum)
    matrix, names, spec = _matrix(_parsed(reading, text), frame, reading, text)
    _, kept, _ = _divided(matrix, names, reading)
    return Part(text, kept, spec)


def evaluate(text: str, frame: pd.DataFrame) -> Array:
    """The values of one numeric expression, (R,).

    Raises
    ------
    DesignError
        If it is not one numeric column.
    """
    if text in frame.columns:
        column = frame[text]
        if not (isinstance(column.dtype, np.dtype) and column.dtype.kind in "fiub"):
            column = plain(frame[[text]])[text]
        if column.dtype.kind not in "fiub":
            raise DesignError(
                f"outcome {text!r} holds {_kind(column)}, not numbers: give 0/1 or fractions, "
                f"such as I({text} == 'name')"
            )
        return np.asarray(number(column, text), np.float64)
    variables(text, [str(c) for c in frame.columns])
    reading = read(f"0 + {text}")
    if reading.offsets:
        raise DesignError(f"outcome {text!r}: an offset belongs to the right of ~")
    if not reading.names:
        raise DesignError(f"outcome {text!r} names no column of the data: give one")
    matrix, _, _ = _matrix(_parsed(reading, text), frame, reading, text)
    if matrix.shape[1] == 2 and text.startswith("I("):
        return matrix[:, 1]  # formulaic makes two columns of a condition: false, true
    if matrix.shape[1] != 1:
        raise DesignError(f"outcome {text!r} must be one numeric column")
    return matrix[:, 0]


def _kind(column: pd.Series[Any]) -> str:
    known = {"category": "a category", "M": "dates", "m": "durations"}
    if is_text(column):
        return "text"
    return known.get(str(column.dtype), known.get(column.dtype.kind, str(column.dtype)))


def _parsed(reading: Reading, text: str) -> Any:
    import formulaic
    from formulaic.errors import FormulaicError

    try:
        found = formulaic.Formula(reading.text)
        factors = [f for term in found for f in term.factors]
    except (FormulaicError, SyntaxError, ValueError, TypeError, AttributeError) as error:
        raise DesignError(f"formula {text!r} cannot be read: {_first_line(error)}") from None
    for factor in factors:
        # What will run is checked in the very form in which it will.
        if factor.eval_method.value == "python":
            verify(factor.expr, text)
    return found


def _divided(
    matrix: Array, names: tuple[str, ...], reading: Reading
) -> tuple[Array, tuple[str, ...], Array | None]:
    """Regressors, their names, and the sum of the offsets."""
    if not reading.offsets:
        return matrix, names, None
    place = [names.index(one) for one in reading.offsets if one in names]
    if len(place) < len(reading.offsets):
        raise DesignError(f"an offset is one column of numbers: {', '.join(reading.offsets)}")
    keep = [k for k in range(len(names)) if k not in place]
    return matrix[:, keep], tuple(names[k] for k in keep), matrix[:, place].sum(axis=1)


def _matrix(
    spec: Any, frame: pd.DataFrame, reading: Reading, text: str
) -> tuple[Array, tuple[str, ...], Any]:
    if isinstance(spec, PlainSum):
        return _summed(spec, frame, reading, text), spec.terms, spec
    from formulaic import ModelSpec
    from formulaic.errors import DataMismatchWarning, FormulaicError

    frame_, kinds = readable(reading, frame, text, not isinstance(spec, ModelSpec))
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore", RuntimeWarning)  # values are checked below
            warnings.simplefilter("error", DataMismatchWarning)
            made = spec.get_model_matrix(frame_, context=functions(kinds), na_action="ignore")
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
        LookupError,
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
        if " specification: generated" in str(error):
            raise DesignError(
                f"{text!r}: a column is of another kind (numbers, text, a category) than in the "
                "data that were fitted: give it as it was"
            ) from None
        raise DesignError(f"formula {text!r} cannot be read: {_first_line(error)}") from None
    names = tuple("const" if c == "Intercept" else str(c) for c in made.columns)
    try:
        matrix = made.to_numpy(np.float64)
    except (ValueError, TypeError) as error:
        raise DesignError(f"formula {text!r} is not numbers: {_first_line(error)}") from None
    if matrix.shape[0] != len(frame):
        raise DesignError(f"formula {text!r} makes {len(matrix)} rows of {len(frame)}")
    _check_finite(matrix, names)
    return matrix, names, made.model_spec


def _summed(spec: PlainSum, frame: pd.DataFrame, reading: Reading, text: str) -> Array:
    matrix = spec.matrix(frame)
    if matrix is not None:
        return matrix
    given = readable(reading, frame, text, False)[0]
    for name in spec.columns:
        if given[name].dtype != np.float64:
            raise DesignError(
                f"{text!r}: column {name!r} is of another kind ({given[name].dtype}) than in the "
                "data that were fitted, where it is numbers: give it as it was"
            )
    matrix = np.column_stack([np.ones(len(given)), given[list(spec.columns)].to_numpy()])
    _check_finite(matrix, spec.terms)
    return matrix


def _check_finite(matrix: Array, names: tuple[str, ...]) -> None:
    if np.isfinite(matrix.sum()):
        return
    bad = ~np.isfinite(matrix).all(axis=0)
    if bad.any():
        raise DesignError(
            f"term {names[int(np.argmax(bad))]!r} is not finite in "
            f"{int((~np.isfinite(matrix)).any(axis=1).sum())} rows: mend or leave out the values "
            "outside its domain"
        )


def _first_line(error: Exception) -> str:
    return _ANSI.sub("", str(error)).strip().partition("\n")[0]
