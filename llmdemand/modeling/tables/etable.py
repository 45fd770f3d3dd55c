"""Regression tables: models side by side, as text, markdown, LaTeX, HTML or a data frame."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Literal, get_args, overload

import numpy as np

from llmdemand.errors import UsageError, nearest
from llmdemand.modeling.estimation.fit import Fit, Fitted, fit_of

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Format", "etable"]

Format = Literal["text", "markdown", "latex", "html", "frame"]

_LEVELS = ((0.001, "***"), (0.01, "**"), (0.05, "*"))
_LEGEND = "* p < 0.05, ** p < 0.01, *** p < 0.001"


@dataclass(frozen=True)
class _Cell:
    """A number in words, and its stars."""

    text: str
    stars: str = ""


@dataclass(frozen=True)
class _Table:
    """Rows of cells in blocks; the first column names them."""

    names: list[str]
    head: list[tuple[str, list[_Cell]]]
    terms: list[tuple[str, list[_Cell]]]
    foot: list[tuple[str, list[_Cell]]]
    notes: list[str]

    @property
    def blocks(self) -> list[list[tuple[str, list[_Cell]]]]:
        return [b for b in (self.head, self.terms, self.foot) if b]


@overload
def etable(
    *fits: Fitted,
    format: Literal["frame"],
    names: Sequence[str] | None = ...,
    stars: bool = ...,
    keep: str | Sequence[str] | None = ...,
    drop: str | Sequence[str] | None = ...,
    digits: int = ...,
) -> pd.DataFrame: ...


@overload
def etable(
    *fits: Fitted,
    format: Literal["text", "markdown", "latex", "html"] = ...,
    names: Sequence[str] | None = ...,
    stars: bool = ...,
    keep: str | Sequence[str] | None = ...,
    drop: str | Sequence[str] | None = ...,
    digits: int = ...,
) -> str: ...


def etable(
    *fits: Fitted,
    format: Format = "text",
    names: Sequence[str] | None = None,
    stars: bool = False,
    keep: str | Sequence[str] | None = None,
    drop: str | Sequence[str] | None = None,
    digits: int = 3,
) -> str | pd.DataFrame:
    """Models side by side: estimates, standard errors in brackets, and how they were made.

    Parameters
    ----------
    *fits : LogitResults or Demand
        One column each.
    format : str
        ``text``, ``markdown``, ``latex`` (a booktabs tabular), ``html`` or ``frame``.
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
    str or pandas.DataFrame

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
    if format not in get_args(Format):
        raise UsageError(
            f"format={format!r}{nearest(str(format), list(get_args(Format)))}: use one of "
            f"{', '.join(get_args(Format))}"
        )
    if not fits:
        raise UsageError("no fit to show: etable(fit) or etable(fit, another, ...)")
    if isinstance(digits, bool) or not isinstance(digits, int) or not 0 <= digits <= 15:
        raise UsageError(f"digits={digits!r}: give a number of decimals from 0 to 15")
    found = [fit_of(fit) for fit in fits]
    heads = [f"({k + 1})" for k in range(len(found))] if names is None else list(names)
    if isinstance(names, str) or len(heads) != len(found):
        raise UsageError(f"{len(heads)} names for {len(found)} fits: give one name for each")
    table = _table(found, [str(h) for h in heads], stars, keep, drop, digits)
    if format == "frame":
        return _frame(table)
    return {"text": _text, "markdown": _markdown, "latex": _latex, "html": _html}[format](table)


def _table(
    fits: list[Fit],
    names: list[str],
    stars: bool,
    keep: str | Sequence[str] | None,
    drop: str | Sequence[str] | None,
    digits: int,
) -> _Table:
    terms = _chosen(list(dict.fromkeys(str(t) for f in fits for t in f.params.index)), keep, drop)
    rows: list[tuple[str, list[_Cell]]] = []
    for term in terms:
        above, below = zip(*(_estimate(f, term, stars, digits) for f in fits), strict=True)
        rows += [(term, list(above)), ("", list(below))]

    def line(what: str, value: Callable[[Fit], str]) -> tuple[str, list[_Cell]]:
        return what, [_Cell(value(f)) for f in fits]

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
    return _Table(names, head, rows, foot, [_LEGEND] if stars else [])


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


def _estimate(fit: Fit, term: str, stars: bool, digits: int) -> tuple[_Cell, _Cell]:
    if term not in fit.params.index:
        return _Cell(""), _Cell("")
    value, se = float(fit.params[term]), float(fit.bse[term])
    if fit.separated:
        word = "unknown" if np.isnan(value) else _number(value, digits)
        return _Cell(f"{word} (separated)"), _Cell("(inf)")
    p = float(fit.pvalues[term])
    mark = next((mark for level, mark in _LEVELS if p < level), "") if stars else ""
    width = "unknown: negative variance" if np.isnan(se) else _number(se, digits)
    return _Cell(_number(value, digits), mark), _Cell(f"({width})")


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


def _frame(table: _Table) -> pd.DataFrame:
    import pandas as pd

    rows = [row for block in table.blocks for row in block]
    cells = [[c.text + c.stars for c in row] for _, row in rows]
    return pd.DataFrame(cells, index=[label for label, _ in rows], columns=table.names)


def _text(table: _Table) -> str:
    # Stars stand beside the numbers, which stay in line.
    marks = [max(len(row[k].stars) for _, row in table.terms) for k in range(len(table.names))]
    head = ["", *(name + " " * m for name, m in zip(table.names, marks, strict=True))]
    blocks = [
        [
            [label, *(c.text + c.stars.ljust(m) for c, m in zip(row, marks, strict=True))]
            for label, row in block
        ]
        for block in table.blocks
    ]
    widths = [
        max(len(line[k]) for block in [[head], *blocks] for line in block) for k in range(len(head))
    ]

    def show(line: list[str]) -> str:
        rest = (cell.rjust(w) for cell, w in zip(line[1:], widths[1:], strict=True))
        return "  ".join([line[0].ljust(widths[0]), *rest]).rstrip()

    rule = "-" * (sum(widths) + 2 * (len(widths) - 1))
    lines = [show(head)]
    for block in blocks:
        lines += [rule, *(show(line) for line in block)]
    return "\n".join([*lines, rule, *table.notes])


def _markdown(table: _Table) -> str:
    def clean(text: str) -> str:
        return re.sub(r"([\\`*_|<>])", r"\\\1", text)

    def show(label: str, cells: Sequence[str]) -> str:
        return f"| {' | '.join([clean(label), *map(clean, cells)])} |"

    lines = [show("", table.names), "|---|" + "---:|" * len(table.names)]
    for block in table.blocks:
        lines += [show(label, [c.text + c.stars for c in row]) for label, row in block]
    notes = [line for note in table.notes for line in ("", clean(note))]
    return "\n".join([*lines, *notes])


_TEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    **{c: f"\\{c}" for c in "_%&#${}"},
}


def _tex(text: str) -> str:
    return "".join(_TEX.get(c, c) for c in text)


def _tex_number(text: str) -> str:
    """A cell with numbers set as mathematics, so that minus signs are no hyphens."""
    if sign := re.fullmatch(r"(-?)inf \(separated\)", text):
        return rf"${sign[1]}\infty$ (separated)"
    if text == "(inf)":
        return r"($\infty$)"
    if found := re.fullmatch(r"(-?\d+(?:\.\d+)?)(?:e([-+]\d+))?", text):
        return f"${found[1]}" + (rf" \times 10^{{{int(found[2])}}}" if found[2] else "") + "$"
    if found := re.fullmatch(r"\((\d+(?:\.\d+)?)e([-+]\d+)\)", text):
        return rf"(${found[1]} \times 10^{{{int(found[2])}}}$)"
    return _tex(text)


def _latex(table: _Table) -> str:
    def show(label: str, row: list[_Cell]) -> str:
        cells = [_tex_number(c.text) + (f"$^{{{c.stars}}}$" if c.stars else "") for c in row]
        return " & ".join([_tex(label), *cells]) + r" \\"

    head = " & ".join(["", *map(_tex, table.names)]) + r" \\"
    lines = [rf"\begin{{tabular}}{{l{'r' * len(table.names)}}}", r"\toprule", head.lstrip()]
    for block in table.blocks:
        lines += [r"\midrule", *(show(label, row) for label, row in block)]
    lines.append(r"\bottomrule")
    width = len(table.names) + 1
    lines += [rf"\multicolumn{{{width}}}{{l}}{{{_tex(note)}}} \\" for note in table.notes]
    return "\n".join([*lines, r"\end{tabular}"])


def _html(table: _Table) -> str:
    def show(label: str, row: list[_Cell]) -> str:
        cells = "".join(
            f"<td>{escape(c.text)}{f'<sup>{c.stars}</sup>' if c.stars else ''}</td>" for c in row
        )
        return f"<tr><th>{escape(label)}</th>{cells}</tr>"

    head = "".join(f"<th>{escape(n)}</th>" for n in table.names)
    lines = ["<table>", f"<thead><tr><th></th>{head}</tr></thead>"]
    for block in table.blocks:
        lines += ["<tbody>", *(show(label, row) for label, row in block), "</tbody>"]
    width = len(table.names) + 1
    notes = "".join(f'<tr><td colspan="{width}">{escape(n)}</td></tr>' for n in table.notes)
    return "\n".join([*lines, *([f"<tfoot>{notes}</tfoot>"] if notes else []), "</table>"])
