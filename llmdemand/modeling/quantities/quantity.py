"""What a demand quantity says: estimates with intervals, and how they were averaged."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from llmdemand.core.line import OneLine
from llmdemand.errors import UsageError
from llmdemand.modeling.arrays import Array
from llmdemand.modeling.verbatim import verbatim

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

__all__ = ["COLOURS", "Quantity"]

_VALUES = ("estimate", "se", "lower", "upper")
#: Okabe & Ito: told apart with any colour vision.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_STYLES = ("-", "--", "-.", ":")


@dataclass(frozen=True, repr=False)
class Quantity(OneLine):
    """Estimates of one demand quantity, one per row.

    Attributes
    ----------
    name : str
        What it is.
    table : pandas.DataFrame
        Columns that say where and for what (prices, ``alternative``, ``rival``), then
        ``estimate, se, lower, upper``.
    rule : str
        How observations were averaged, in words.
    ci : str
        How the intervals were made, in words.
    unit : str
        Unit of the estimates.
    notes : tuple of str
        What a reader has to know besides.
    gradient : (M, K) array or None
        Derivatives of the estimates by the coefficients, from which ``se`` is made; None where
        it is made from draws.

    Examples
    --------
    >>> import pandas as pd
    >>> table = pd.DataFrame({"estimate": [-1.5], "se": [0.1], "lower": [-1.7], "upper": [-1.3]})
    >>> found = Quantity("own-price elasticity", table, "one case", "95 %, delta method", "% per %")
    >>> float(found), found.upper
    (-1.5, -1.3)
    """

    name: str
    table: pd.DataFrame
    rule: str
    ci: str
    unit: str
    notes: tuple[str, ...] = ()
    gradient: Array | None = field(default=None, repr=False, compare=False)

    @property
    def _line(self) -> str:
        table, unit = self.table, f" {self.unit}" if self.unit else ""
        if len(table) != 1:
            return f"{self.name}, {len(table)} rows{f' in {self.unit}' if self.unit else ''}"
        found = table.iloc[0]
        ends = f"{found['lower']:.4g} to {found['upper']:.4g}"
        return f"{self.name} {found['estimate']:.4g}{unit} ({found['se']:.2g}), {ends}"

    def _column(self, name: str) -> float | Array:
        values = self.table[name].to_numpy(np.float64)
        return float(values[0]) if len(values) == 1 else values

    @property
    def estimate(self) -> float | Array:
        """The estimate: a number if there is one row, else an array."""
        return self._column("estimate")

    @property
    def se(self) -> float | Array:
        """Standard errors."""
        return self._column("se")

    @property
    def lower(self) -> float | Array:
        """Lower ends of the intervals."""
        return self._column("lower")

    @property
    def upper(self) -> float | Array:
        """Upper ends of the intervals."""
        return self._column("upper")

    @property
    def keys(self) -> tuple[str, ...]:
        """The columns that tell rows apart."""
        return tuple(c for c in self.table.columns if c not in _VALUES)

    def to_frame(self) -> pd.DataFrame:
        """A copy of the table."""
        return self.table.copy()

    def __float__(self) -> float:
        if len(self.table) != 1:
            raise UsageError(
                f"{self.name} has {len(self.table)} rows: take .estimate, an array, or ask for "
                "one alternative at one price"
            )
        return float(self.table["estimate"].iloc[0])

    def __len__(self) -> int:
        return len(self.table)

    def matrix(self, value: str = "estimate") -> pd.DataFrame:
        """The rows as a square: the share of (rows) by the price of (columns).

        Parameters
        ----------
        value : str
            ``estimate``, ``se``, ``lower`` or ``upper``.

        Raises
        ------
        UsageError
            Without pairs of alternatives, or with several answers for each.
        """
        if value not in _VALUES:
            raise UsageError(f"value={value!r}: use one of {', '.join(_VALUES)}")
        if "rival" not in self.keys:
            raise UsageError(f"{self.name} has no pairs of alternatives: ask with kind='matrix'")
        if self.table.duplicated(["alternative", "rival"]).any():
            raise UsageError(
                f"{self.name} was asked at several values: take one of them from .table first"
            )
        wide = self.table.pivot(index="alternative", columns="rival", values=value)
        rows = list(dict.fromkeys(self.table["alternative"]))
        columns = list(dict.fromkeys(self.table["rival"]))
        columns.sort(key=lambda c: rows.index(c) if c in rows else len(rows))
        return wide.loc[rows, columns]

    @property
    def _lines(self) -> list[str]:
        unit = f" [{self.unit}]" if self.unit else ""
        return [f"{self.name}{unit}", f"average: {self.rule}", f"interval: {self.ci}"]

    @property
    def _square(self) -> tuple[str, pd.DataFrame] | None:
        """Pairs of several alternatives as a square, and what its rows and columns are."""
        pairs = {"alternative", "rival"}
        if not pairs <= set(self.keys) or self.table.duplicated(list(pairs)).any():
            return None
        if min(self.table[k].nunique() for k in pairs) < 2:
            return None
        said = "from (rows) to (columns)"
        if not self.name.startswith("diversion"):
            said = "share of (rows), price of (columns)"
        wide = self.matrix().rename_axis(index=None, columns=None)
        return f"{said}; se and intervals: .table, .matrix('lower')", wide

    def summary(self) -> str:
        """Table, or matrix of pairs; averaging rule and kind of interval."""
        square, lines = self._square, self._lines
        if square is None:
            table = self.table.to_string(index=False, float_format=lambda v: f"{v:.5g}")
        else:
            lines = [*lines, square[0]]
            table = square[1].to_string(float_format=lambda v: f"{v:.5g}", na_rep="-")
        return "\n".join([*lines, "", table, *(f"note: {n}" for n in self.notes)])

    def __str__(self) -> str:
        return self.summary()

    def _repr_html_(self) -> str:
        from html import escape

        square, lines = self._square, self._lines
        if square is None:
            table = self.table.to_html(index=False, float_format=lambda v: f"{v:.5g}")
        else:
            lines = [*lines, square[0]]
            table = square[1].to_html(float_format=lambda v: f"{v:.5g}", na_rep="-")
        head = "<br>".join(escape(line) for line in lines)
        notes = "".join(f"<p>note: {escape(n)}</p>" for n in self.notes)
        return f"<p>{head}</p>{table}{notes}"

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the estimates with their intervals.

        Lines with bands over prices; a heat map for pairs of alternatives; else bars.
        """
        if ax is None:
            from matplotlib import pyplot as plt

            ax = plt.subplots(layout="constrained")[1]
        over = [k for k in self.keys if self._numeric(k) and self.table[k].nunique() > 1]
        if len(over) == 1:
            self._draw_lines(ax, over[0])
        elif "rival" in self.keys and not self.table.duplicated(["alternative", "rival"]).any():
            self._draw_matrix(ax)
        else:
            self._draw_bars(ax)
        ax.set_title(self.name)
        return verbatim(ax)

    def _numeric(self, key: str) -> bool:
        return self.table[key].dtype.kind in "fiu"

    @property
    def _axis(self) -> str:
        return f"{self.name} ({self.unit})" if self.unit else self.name

    def _draw_lines(self, ax: Axes, over: str) -> None:
        others = [k for k in self.keys if k != over and self.table[k].nunique() > 1]
        groups: list[tuple[Any, pd.DataFrame]] = [((), self.table)]
        if others:
            groups = list(self.table.groupby(others, sort=False))
        for place, (names, rows) in enumerate(groups):
            rows = rows.sort_values(over)
            colour, style = COLOURS[place % len(COLOURS)], _STYLES[place % len(_STYLES)]
            x = rows[over].to_numpy(np.float64)
            marker = "o" if len(x) < 10 else ""
            label = " by ".join(str(n) for n in names)
            ax.plot(x, rows["estimate"], style, color=colour, marker=marker, ms=4, label=label)
            ax.fill_between(
                x,
                rows["lower"].to_numpy(np.float64),
                rows["upper"].to_numpy(np.float64),
                color=colour,
                alpha=0.15,
                lw=0,
            )
        ax.set(xlabel=over, ylabel=self._axis)
        if others:
            ax.legend(frameon=False, fontsize=8)

    def _draw_matrix(self, ax: Axes) -> None:
        wide = self.matrix()
        values = wide.to_numpy(np.float64)
        top = float(np.nanmax(np.abs(values))) or 1.0
        image = ax.imshow(values, cmap="RdBu", vmin=-top, vmax=top, aspect="auto")
        for (i, j), value in np.ndenumerate(values):
            if np.isfinite(value):
                dark = abs(value) > 0.6 * top
                ax.text(j, i, f"{value:.3g}", ha="center", va="center", color="w" if dark else "k")
        ax.set_xticks(range(len(wide.columns)), [str(c) for c in wide.columns])
        ax.set_yticks(range(len(wide.index)), [str(r) for r in wide.index])
        losing = self.name.startswith("diversion")
        ax.set(xlabel="to" if losing else "price of", ylabel="from" if losing else "share of")
        verbatim(ax.figure.colorbar(image, ax=ax, label=self._axis).ax)

    def _draw_bars(self, ax: Axes) -> None:
        shown = [k for k in self.keys if self.table[k].nunique() > 1] or list(self.keys[:1])
        labels = [
            ", ".join(f"{v:g}" if isinstance(v, float) else str(v) for v in row)
            for row in self.table[shown].itertuples(index=False)
        ] or [self.name]
        place = np.arange(len(self.table))
        estimate = self.table["estimate"].to_numpy(np.float64)
        ax.bar(place, estimate, color=COLOURS[0], alpha=0.6)
        ends = self.table[["lower", "upper"]].to_numpy(np.float64)
        finite = np.isfinite(ends).all(axis=1)
        ax.vlines(place[finite], ends[finite, 0], ends[finite, 1], color="k", lw=1.2)
        ax.axhline(0, color="k", lw=0.6)
        ax.set_xticks(place, labels, rotation=30 if len("".join(labels)) > 40 else 0)
        ax.set(ylabel=self._axis, xlabel=", ".join(shown))
