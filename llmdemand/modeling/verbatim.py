"""Texts of figures as they were written: names, labels and units are no mathematics."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["verbatim"]


def verbatim(ax: Axes) -> Axes:
    """Show every text of the axes as it is: matplotlib reads what stands between ``$`` as TeX.

    A label such as ``$5 menu, $2 tip`` is garbled by that, and ``$5 100% menu $`` cannot be drawn
    at all. Tick labels are included where they were given as words, and left alone where a scale
    makes them of numbers.

    Parameters
    ----------
    ax : matplotlib Axes
        Drawn, with title, labels, ticks and legend.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> ax = Figure().subplots()
    >>> _ = ax.set_title("$5 100% menu for $4")
    >>> verbatim(ax).title.get_parse_math()
    False
    """
    from matplotlib.text import Text
    from matplotlib.ticker import FixedFormatter, FuncFormatter, NullFormatter

    numbered = set()
    for axis in (ax.xaxis, ax.yaxis):
        if not isinstance(axis.get_major_formatter(), FixedFormatter | FuncFormatter):
            numbered |= {id(text) for text in axis.get_ticklabels()}
        if not isinstance(axis.get_minor_formatter(), FixedFormatter | NullFormatter):
            numbered |= {id(text) for text in axis.get_ticklabels(minor=True)}
    for found in ax.findobj(Text):
        if isinstance(found, Text) and id(found) not in numbered:
            found.set_parse_math(False)
    return ax
