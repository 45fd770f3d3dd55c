"""The figure of tastes: own estimates, what the law makes of them, and the law."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from llmdemand.modeling.arrays import Array
from llmdemand.modeling.quantities.quantity import COLOURS
from llmdemand.modeling.verbatim import verbatim

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["distribution"]

_WIDTH = 4.0  # standard deviations of the law that are shown, or of own estimates if fewer
_LEAST_BINS, _MOST_BINS = 8, 40


def distribution(
    ax: Axes, term: str, own: Array, predicted: Array, mean: float, sd: float, unit: str
) -> Axes:
    """Draw the distribution of one coefficient over respondents.

    Parameters
    ----------
    ax : Axes
        Where.
    term : str
        Name of the coefficient.
    own, predicted : (B,) arrays
        Own estimates, NaN where there is none, and those shrunken to the law.
    mean, sd : float
        Of the normal law.
    unit : str
        What the coefficient is per unit of; empty for none.
    """
    exist = own[np.isfinite(own)]
    middle = [float(np.median(v)) for v in (exist, predicted) if len(v)]
    reach = max(sd, float(np.ptp(predicted)) / 4, 1e-3 * abs(mean), 1e-12)
    low, high = min(middle) - _WIDTH * reach, max(middle) + _WIDTH * reach
    low, high = min(low, float(predicted.min())), max(high, float(predicted.max()))
    bins = int(np.clip(2 * len(predicted) ** 0.5, _LEAST_BINS, _MOST_BINS))
    edges = np.linspace(low, high, bins + 1).tolist()
    wide = edges[1] - edges[0]
    beyond = int(((exist < low) | (exist > high)).sum())
    none = int((~np.isfinite(own)).sum())
    said = [f"{beyond} beyond" if beyond else "", f"{none} without" if none else ""]
    said = [s for s in said if s]
    label = f"own estimates ({', '.join(said)})" if said else "own estimates"
    # Of all respondents, so that what is beyond the axis is missing from the area.
    each = np.full(len(exist), 1 / len(own) / wide)
    ax.hist(exist, edges, weights=each, histtype="step", color=COLOURS[1], lw=1.2, label=label)
    each = np.full(len(predicted), 1 / len(predicted) / wide)
    ax.hist(predicted, edges, weights=each, color=COLOURS[0], alpha=0.35, label="shrunken")
    if sd > 0:
        x = np.linspace(low, high, 400)
        density = np.exp(-((x - mean) ** 2) / (2 * sd**2)) / (sd * np.sqrt(2 * np.pi))
        ax.plot(x, density, color=COLOURS[6], lw=1.4, label="normal law")
    else:
        ax.axvline(mean, color=COLOURS[6], lw=1.4, label="law without spread")
    ax.set_xlim(low, high)
    ax.set(xlabel=f"{term} ({unit})" if unit else term, ylabel="density over respondents")
    ax.set_title(f"{term}: mean {mean:.3g}, spread {sd:.2g}")
    ax.set_ylim(top=1.25 * ax.get_ylim()[1])  # the legend covers nothing
    ax.legend(frameon=False, fontsize=8)
    ax.spines[["top", "right"]].set_visible(False)
    return verbatim(ax)
