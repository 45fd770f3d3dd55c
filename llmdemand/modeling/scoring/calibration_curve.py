"""Observed shares where about as much was predicted, and the slope between the two."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from llmdemand.core.line import OneLine
from llmdemand.errors import UsageError
from llmdemand.modeling.estimation.fit import Fitted, fit_of
from llmdemand.modeling.likelihood.cases import Cases
from llmdemand.modeling.likelihood.cells import Cells
from llmdemand.modeling.likelihood.protocol import Concave
from llmdemand.modeling.optimum.newton import newton
from llmdemand.modeling.optimum.separation import exists
from llmdemand.modeling.printed import with_notes
from llmdemand.modeling.quantities.quantity import COLOURS
from llmdemand.modeling.scoring.predictions import Predicted, predicted
from llmdemand.modeling.verbatim import verbatim

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

__all__ = ["Calibration", "calibration", "recalibrated"]


@dataclass(frozen=True, repr=False)
class Calibration(OneLine):
    """Observed against predicted shares.

    Attributes
    ----------
    table : pandas.DataFrame
        One row per alternative and bin that holds predictions: ``alternative, lower, upper,
        n`` (by weight), ``predicted`` and ``observed`` (means).
    slope : float or None
        Of the logit of the outcome on the predictions' log-odds (Cox 1958): 1 if
        calibrated, below 1 if predictions are too extreme. For several alternatives the
        coefficient of log p in a conditional logit with a constant for each alternative.
        None where it is not identified or infinite.
    intercept : float or None
        Of the same logit: 0 if calibrated. None for several alternatives.
    outcome : str
        What was predicted.
    notes : tuple of str
        What the reader should know.
    """

    table: pd.DataFrame
    slope: float | None
    intercept: float | None
    outcome: str
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        slope = "unknown" if self.slope is None else f"{self.slope:.4g}"
        level = "" if self.intercept is None else f", intercept {self.intercept:.4g}"
        text = self.table.to_string(index=False, float_format=lambda v: f"{v:.4g}")
        lines = [f"Calibration of {self.outcome}: slope {slope}{level}", text]
        return with_notes(lines, self.notes)

    def _repr_html_(self) -> str:
        head, _, _ = str(self).partition("\n")
        notes = "".join(f"<p>{escape(note)}</p>" for note in self.notes)
        table = self.table.to_html(index=False, float_format=lambda v: f"{v:.4g}")
        return f"<p>{escape(head)}</p>{table}{notes}"

    def plot(self, ax: Axes | None = None) -> Axes:
        """Observed against predicted shares, and the diagonal.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to draw; new axes by default.
        """
        if ax is None:
            from matplotlib import pyplot as plt

            ax = plt.subplots(figsize=(4.5, 4.5), layout="constrained")[1]
        ax.plot([0, 1], [0, 1], color="0.6", lw=1, ls="--", label="calibrated")
        for k, (name, rows) in enumerate(self.table.groupby("alternative", sort=False)):
            colour, marker = COLOURS[k % len(COLOURS)], "os^vDPX"[k % 7]
            ax.plot(
                rows["predicted"], rows["observed"], marker + "-", color=colour, label=str(name)
            )
        slope = "unknown" if self.slope is None else f"{self.slope:.3g}"
        ax.set(
            xlabel="predicted share",
            ylabel=f"observed share ({self.outcome})",
            title=f"Calibration, slope {slope}",
            xlim=(0, 1),
            ylim=(0, 1),
        )
        ax.legend(frameon=False, fontsize=8)
        return verbatim(ax)


def calibration(
    fit: Fitted, bins: int = 10, data: Any = None, *, weights: str | None = None
) -> Calibration:
    """Observed mean outcomes where about as much was predicted.

    Parameters
    ----------
    fit, data, weights
        See `llmdemand.modeling.scoring.scores.scores`.
    bins : int
        Bins of equal width on [0, 1]; those without a prediction are left out.

    Returns
    -------
    Calibration

    Raises
    ------
    UsageError
        For an impossible number of bins.
    DesignError
        See `scores`.

    Notes
    -----
    In sample, a maximum-likelihood logit with its constants has slope 1 and intercept 0
    by construction: what it tells is in other data, or in the table's shape.

    Examples
    --------
    >>> import pandas as pd
    >>> from llmdemand.modeling.models.logit import fraclogit
    >>> df = pd.DataFrame({"belief": [.9, .7, .2, .8, .4, .1], "price": [1, 2, 3, 1, 2, 3]})
    >>> print(calibration(fraclogit("belief ~ price", df), bins=4))
    Calibration of belief: slope 1, intercept 0
    alternative  lower  upper  n  predicted  observed
         belief      0   0.25  2     0.1626      0.15
         belief    0.5   0.75  2     0.5248      0.55
         belief   0.75      1  2     0.8626      0.85
    """
    import pandas as pd

    if isinstance(bins, bool) or not isinstance(bins, int | np.integer) or bins < 1:
        raise UsageError(f"bins={bins!r}: give a number of bins, such as 10")
    found = fit_of(fit)
    rows = predicted(found, data, weights=weights)
    place = np.minimum((rows.p * bins).astype(np.intp), bins - 1)
    both = rows.labels * bins + place
    used, code = np.unique(both[rows.n > 0], return_inverse=True)
    n = np.bincount(code, rows.n[rows.n > 0])
    table = pd.DataFrame(
        {
            "alternative": [rows.alternatives[k] for k in used // bins],
            "lower": used % bins / bins,
            "upper": (used % bins + 1) / bins,
            "n": n,
            "predicted": np.bincount(code, (rows.n * rows.p)[rows.n > 0]) / n,
            "observed": np.bincount(code, (rows.n * rows.y)[rows.n > 0]) / n,
        }
    )
    slope, intercept, note = recalibrated(rows)
    return Calibration(table, slope, intercept, found.outcome, (note,) if note else ())


def recalibrated(rows: Predicted) -> tuple[float | None, float | None, str]:
    """Slope and intercept of the outcome on the predicted log-odds, and why not."""
    one = np.ones(len(rows.start))
    if rows.binary:
        odds = rows.log_p - rows.log_q
        if np.ptp(odds) <= 1e-9 * max(1.0, float(np.abs(odds).max())):
            return None, None, "all predictions are equal: they have no calibration slope"
        x = np.column_stack([np.ones(len(odds)), odds])
        data: Concave = Cells(x, rows.n, rows.y, rows.within, np.ones(len(odds)), {})
    else:
        if not np.isfinite(rows.log_p).all():
            return None, None, "predictions of exactly 0: the calibration slope is unknown"
        dummies = rows.labels[:, None] == np.arange(1, len(rows.alternatives))
        x = np.column_stack([rows.log_p, dummies])
        data = Cases(x, rows.y, rows.start, rows.cases, one, {}, rows.labels)
    z, back = data.standardised()
    assert isinstance(z, Cells | Cases)
    if np.linalg.matrix_rank(z.x, tol=1e-8 * len(z.x) ** 0.5) < z.size:
        return None, None, "predictions do not vary between cases: they have no calibration slope"
    try:
        found = newton(z)
        settled = exists(z, found) and found.converged
    except np.linalg.LinAlgError:
        settled = False
    if not settled:
        return None, None, "outcomes are separated by the predictions: the slope is infinite"
    params = back @ found.params
    if rows.binary:
        return _tidy(params[1]), _tidy(params[0]), ""
    return _tidy(params[0]), None, ""


def _tidy(value: float) -> float:
    """Without the rounding error of an estimate that is exactly 0 in theory."""
    return 0.0 if abs(value) < 1e-9 else float(value)
