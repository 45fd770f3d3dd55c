"""How every figure looks: colours, axes, ticks, legends."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmdemand.calibration.figures import LEGEND, new_axes
from llmdemand.core.panel import Panel
from llmdemand.modeling.verbatim import verbatim

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis

__all__ = [
    "COLOUR",
    "DASH",
    "GUIDE",
    "INK",
    "MARKER",
    "decimal_axis",
    "finish",
    "image",
    "new_axes",
    "nothing",
    "price_label",
    "run_axis",
    "write_figures",
]

# Okabe & Ito (2008): told apart with any colour vision; markers and dashes say it in grey too.
COLOUR = {"belief": "#0072B2", "choice": "#D55E00", "firth": "#009E73"}
MARKER = {"belief": "o", "choice": "s", "firth": "^"}
DASH = {"belief": "-", "choice": "--", "firth": "-."}

#: The same hues for words: dark enough to be read on white (contrast above 5).
INK = {"belief": "#00588A", "choice": "#A34700", "firth": "#006B4E"}

#: Lines that are no data: guides, tolerances, diagonals.
GUIDE = "#6B6B6B"

_TITLE, _LABEL, _TICK = 11.5, 11.0, 10.0

_RUNS = (1, 2, 5)  # of each power of ten, on axes of runs


def finish(ax: Axes, *, title: str, x: str, y: str, columns: int = 2) -> Axes:
    """Name the axes; legend above the data."""
    ax.set_xlabel(x, fontsize=_LABEL)
    ax.set_ylabel(y, fontsize=_LABEL)
    ax.tick_params(labelsize=_TICK)
    # Outcomes first: matplotlib lists error bars after lines, whatever they show.
    entries = list(zip(*ax.get_legend_handles_labels(), strict=True))
    entries.sort(key=lambda entry: entry[1].split(",")[0] not in COLOUR)
    rows = math.ceil(len(entries) / columns)
    if entries:
        ax.legend(
            [handle for handle, _ in entries],
            [label for _, label in entries],
            ncols=columns,
            handletextpad=0.5,
            **LEGEND,
        )
    ax.set_title(title, loc="center", fontsize=_TITLE, pad=9 + rows * 1.42 * _TICK)
    return verbatim(ax)


def nothing(ax: Axes, why: str) -> Axes:
    """Say on the axes why there is nothing to draw."""
    from textwrap import fill

    ax.text(
        0.5, 0.5, fill(why, 40), ha="center", va="center", fontsize=_LABEL, transform=ax.transAxes
    )
    return verbatim(ax)


def run_axis(ax: Axes, runs: Iterable[float]) -> None:
    """A logarithmic axis of runs, with numbers that people read."""
    counted = [float(n) for n in runs]
    low, high = (min(counted), max(counted)) if counted else (1.0, 10.0)
    high = max(high, 2 * low)
    ax.set_xscale("log")
    ax.set_xlim(low / 1.12, high * 1.12)
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    ticks = [d * 10**p for p in powers for d in _RUNS if low <= d * 10**p <= high]
    ax.set_xticks(ticks, [f"{t:g}" for t in ticks])
    ax.xaxis.minorticks_off()


def decimal_axis(axis: Axis, low: float, high: float) -> None:
    """Ticks of a logarithmic axis as decimal numbers, few enough to be read."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    steps: tuple[float, ...] = (1.0, 2.0, 5.0) if high < 300 * low else (1.0,)
    axis.set_major_locator(LogLocator(subs=steps))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def price_label(panel: Panel) -> str:
    """The axis of own prices."""
    return f"price of {panel.study.menu[panel.study.focal].label} ({panel.study.unit})"


def line(outcome: str) -> dict[str, Any]:
    """Colour, marker and dash of an outcome's line."""
    return {"color": COLOUR[outcome], "marker": MARKER[outcome], "ls": DASH[outcome], "ms": 5}


def image(ax: Axes, name: str, kind: str, dpi: int = 200) -> bytes:
    """The figure of these axes as the bytes of an SVG or PNG file, the same in every run."""
    import matplotlib

    figure, buffer = ax.get_figure(root=True), io.BytesIO()
    assert figure is not None  # whoever asks has just drawn it
    with matplotlib.rc_context({"svg.hashsalt": name}):
        dated = {"Date": None} if kind == "svg" else None
        figure.savefig(buffer, format=kind, dpi=dpi, metadata=dated)
    return buffer.getvalue()


def write_figures(names: Iterable[str], folder: Path, drawn: Callable[[str, str], bytes]) -> None:
    """Write figures into a folder, as SVG and PNG: ``drawn(name, kind)`` gives the bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        for kind in ("svg", "png"):
            (folder / f"{name}.{kind}").write_bytes(drawn(name, kind))
