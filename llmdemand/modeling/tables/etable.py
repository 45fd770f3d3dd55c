"""Regression tables: models side by side, as text, markdown, LaTeX, HTML or a data frame."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Literal, TypedDict, Unpack, overload

import numpy as np

from llmdemand.errors import UsageError, choose
from llmdemand.modeling.estimation.fit import Fit, Fitted, listed
from llmdemand.modeling.tables.table import Cell, Table

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Format", "etable"]

Format = Literal["text", "markdown", "latex", "html", "frame"]


class Shown(TypedDict, total=False):
    """Options of `etable` besides the format."""

    names: Sequence[str] | None
    stars: bool
    keep: str | Sequence[str] | None
    drop: str | Sequence[str] | None
    digits: int


_LEVELS = ((0.001, "***"), (0.01, "**"), (0.05, "*"))
_LEGEND = "* p < 0.05, ** p < 0.01, *** p < 0.001"


@overload
def etable(
    *fits: Fitted | Sequence[Fitted], format: None = ..., **shown: Unpack[Shown]
) -> Table: ...


@overload
def etable(
    *fits: Fitted | Sequence[Fitted], format: Literal["frame"], **shown: Unpack[Shown]
) -> pd.DataFrame: ...


@overload
def etable(
    *fits: Fitted | Sequence[Fitted],
    format: Literal["text", "markdown", "latex", "html"],
    **shown: Unpack[Shown],
) -> str: ...


def etable(
    *fits: Fitted | Sequence[Fitted],
    format: Format | None = None,
    names: Sequence[str] | None = None,
    stars: bool = False,
    keep: str | Sequence[str] | None = None,
    drop: str | Sequence[str] | None = None,
    digits: int = 3,
) -> Table | str | pd.DataFrame:
    """Models side by side: estimates, standard errors in brackets, and how they were made.

    Parameters
    ----------
    *fits : LogitResults or Demand
        One column each; or a list of them.
    format : str, optional
        ``text``, ``markdown``, ``latex`` (a booktabs tabular), ``html`` or ``frame``, in place
        of a `Table`, which has them all.
    names : sequence of str, optional
        Heads of the columns; ``(1)``, ``(2)``, ... by default.
    stars : bool
        Mark p-values under 0.05, 0.01 and 0.001.
    keep, drop : str or sequence of str, optional
        Regular expressions: show the terms in which one of `keep` is found, without those in
        which one of `drop` is found; ``Intercept`` in them finds ``const`` too. The order is that
        of the models.
    digits : int
        Decimals. Numbers that so few decimals would round to less than two significant
        digits are given `digits` - 1 significant digits, at least two.

    Returns
    -------
    Table
        It prints as wide as the terminal, shows in a notebook, and has ``to_latex()``,
        ``to_html()``, ``to_markdown()``, ``to_text()`` and ``frame``. With `format` text, or a
        data frame.

    Raises
    ------
    UsageError
        Without fits, for an unknown format, another number of names, a pattern that is no
        regular expression or leaves no term.

    Notes
    -----
    What is no number is a word: infinite estimates are ``inf (separated)`` or ``-inf
    (separated)``, those whose limit is not known ``unknown (separated)``. An empty cell means
    that the model has no such term. p-values are those of the fits: t with G - 1 degrees of
    freedom where there are clusters.

    Examples
    --------
    >>> import pandas as pd
    >>> from llmdemand.modeling.models.logit import fraclogit
    >>> df = pd.DataFrame({"belief": [.9, .7, .2, .8, .4, .1], "price": [1, 2, 3, 1, 2, 3]})
    >>> print(etable(fraclogit("belief ~ price", df)))
                                      (1)
    -------------------------------------
    outcome                        belief
    model                fractional logit
    -------------------------------------
    const                           3.575
                                  (0.541)
    price                          -1.738
                                  (0.223)
    -------------------------------------
    covariance                        HC1
    small-sample factor           n/(n-1)
    clusters                         none
    N                                   6
    log-likelihood                 -3.072
    McFadden R2                     0.261
    estimator                    quasi-ML
    -------------------------------------
    """
    if format is not None:
        choose(format, Format, "format")
    found, heads = listed(fits, names, "no fit to show: etable(fit) or etable(fit, another, ...)")
    if isinstance(digits, bool) or not isinstance(digits, int) or not 0 <= digits <= 15:
        raise UsageError(f"digits={digits!r}: give a number of decimals from 0 to 15")
    table = _table(found, heads, stars, keep, drop, digits)
    if format == "frame":
        return table.frame
    return table if format is None else str(getattr(table, f"to_{format}")())


def _table(
    fits: list[Fit],
    names: list[str],
    stars: bool,
    keep: str | Sequence[str] | None,
    drop: str | Sequence[str] | None,
    digits: int,
) -> Table:
    terms = _chosen(list(dict.fromkeys(str(t) for f in fits for t in f.params.index)), keep, drop)
    rows: list[tuple[str, list[Cell]]] = []
    for term in terms:
        above, below = zip(*(_estimate(f, term, stars, digits) for f in fits), strict=True)
        rows += [(term, list(above)), ("", list(below))]

    def line(what: str, value: Callable[[Fit], str]) -> tuple[str, list[Cell]]:
        return what, [Cell(value(f)) for f in fits]

    head = [line("outcome", lambda f: f.outcome), line("model", lambda f: f.kind.lower())]
    foot = [
        line("covariance", lambda f: "none" if f.separated else f.vcov),
        line("small-sample factor", lambda f: f.ssc),
        line("clusters", lambda f: "none" if f.clusters is None else f"{f.clusters}"),
        line("N", lambda f: f"{f.nobs:.12g}"),
        line("log-likelihood", lambda f: _number(f.llf, digits)),
        line("McFadden R2", lambda f: _fit_of(f, digits)),
        line("estimator", _estimator),
    ]
    notes = [_LEGEND] if stars else []
    if stars and any(f.against.any() for f in fits):
        notes.append("p of a dissimilarity: of the hypothesis that it is 1")
    return Table(names, [head, rows, foot], notes=notes)


def _chosen(
    terms: list[str], keep: str | Sequence[str] | None, drop: str | Sequence[str] | None
) -> list[str]:
    kept = terms if keep is None else [t for t in terms if _matches(t, keep)]
    left = kept if drop is None else [t for t in kept if not _matches(t, drop)]
    if not left:
        raise UsageError(
            f"keep={keep!r} and drop={drop!r} leave no term of {', '.join(terms)}: they are "
            "regular expressions, in which brackets are written \\( and \\)"
        )
    return left


def _matches(term: str, patterns: str | Sequence[str]) -> bool:
    try:
        listed = [patterns] if isinstance(patterns, str) else patterns
        # Where no term is called so, Intercept means const.
        return any(
            re.search(p.replace("Intercept", "const"), term) or re.search(p, term) for p in listed
        )
    except re.error as error:
        raise UsageError(
            f"{patterns!r} is no regular expression ({error}): brackets are written \\( and \\)"
        ) from None


def _estimate(fit: Fit, term: str, stars: bool, digits: int) -> tuple[Cell, Cell]:
    if term not in fit.params.index:
        return Cell(""), Cell("")
    value, se = float(fit.params[term]), float(fit.bse[term])
    if fit.separated:
        word = "unknown" if np.isnan(value) else _number(value, digits)
        return Cell(f"{word} (separated)"), Cell("(inf)")
    p = float(fit.pvalues[term])
    mark = next((mark for level, mark in _LEVELS if p < level), "") if stars else ""
    width = "unknown: negative variance" if np.isnan(se) else _number(se, digits)
    return Cell(_number(value, digits), mark), Cell(f"({width})")


def _fit_of(fit: Fit, digits: int) -> str:
    return "none (constant outcome)" if np.isnan(fit.prsquared) else _number(fit.prsquared, digits)


def _estimator(fit: Fit) -> str:
    if fit.separated:
        return "none (separated)"
    name = "quasi-ML" if fit.fractional else "ML"
    return "Firth" if fit.firth else name


def _number(value: float, digits: int) -> str:
    """A number for people; see `etable` on digits.

    >>> [_number(v, 3) for v in (-0.5354, 0.0042, 0.0, -0.0000042, 123456.7891, -np.inf)]
    ['-0.535', '0.0042', '0.000', '-4.2e-06', '123456.789', '-inf']
    """
    if not np.isfinite(value):
        return f"{value:g}"
    if 0 < abs(value) < 10.0 ** (1 - digits):
        return f"{value:.{max(2, digits - 1)}g}"
    text = f"{value:.{digits}f}"
    return text if len(text) < 16 else f"{value:.{max(2, digits)}e}"
