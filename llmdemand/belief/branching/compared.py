"""Branching against correction, on the same runs: means, variances, tokens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from llmdemand.core.panel import Panel
from llmdemand.errors import DesignError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["BranchingCheck", "compare_branching"]


@dataclass(frozen=True)
class BranchingCheck:
    """Three measures of the choice of whole answers, which have the same mean.

    Attributes
    ----------
    table : pandas.DataFrame
        Rows ``choice`` (of the whole text), ``corrected`` and ``branching``; columns
        ``mean`` (among answers that were read), ``se`` (of the mean), ``variance`` (within
        cells, of one run), ``tokens`` (written per run) and ``cost``: variance times tokens,
        relative to that of choice.
    alternative : str
        Whose.
    difference, se : float
        Mean of branching minus mean of corrected belief, run by run, and its standard error.
    pvalue : float
        Of no difference (normal law); NaN where no run differs.
    runs, mismatches, unread : int
        Runs, those whose whole text says something else than its pivot, and those with a text
        that is read as no choice.
    """

    table: pd.DataFrame
    alternative: str
    difference: float
    se: float
    pvalue: float
    runs: int
    mismatches: int
    unread: int

    def summary(self) -> str:
        """The check as text."""
        found = "no run differs"
        if self.pvalue == self.pvalue:
            found = f"{self.difference:+.4f} (SE {self.se:.4f}), p = {self.pvalue:.3f}"
        return "\n".join(
            [
                f"branching against correction for {self.alternative}, {self.runs} runs, "
                f"{self.mismatches} say something else than their pivot, {self.unread} unread",
                self.table.to_string(float_format=lambda v: f"{v:.4g}"),
                f"branching minus corrected: {found}",
            ]
        )


def compare_branching(panel: Panel, alternative: str | None = None) -> BranchingCheck:
    """Compare belief from branches with corrected belief on the same runs.

    Both have the mean of the final choice, whatever reader read the texts: the first by
    finishing each way in which a name may begin, the second by
    ``b~ = b + 1{F} - 1{P}`` from the pivot's belief b and choice P and the final choice F.
    A difference beyond its standard error means that the probabilities are not those of the
    sampling law, or that answers went on from other tokens than were listed.

    Parameters
    ----------
    panel : Panel
        Of a study with ``sampling.branch``.
    alternative : str, optional
        Whose; the study's focal one by default.

    Returns
    -------
    BranchingCheck

    Raises
    ------
    DesignError
        If the panel has no branches, or fewer than two runs in every cell.
    UsageError
        If the alternative is not in the menu.

    Notes
    -----
    Unread texts count for no alternative; means are ``mean(b) / mean(r)``, r the share that
    was read, and standard errors those of the ratio, within cells.
    """
    from scipy import stats

    if not panel.study.sampling.branch:
        raise DesignError(
            "the panel has no branches: simulate the study with sampling.branch = true"
        )
    chosen = alternative or panel.study.watched
    _ = panel.study.menu[chosen]
    frame = panel.frame
    ids = list(panel.study.menu.ids)
    cells = frame["cell"].to_numpy()
    if len(frame) - len(set(cells)) < 1:
        raise DesignError("no cell has two runs: ask at least two per cell")
    beliefs = np.nan_to_num(frame[[f"belief_{a}" for a in ids]].to_numpy(float))
    pivots = frame[[f"pivot_belief_{a}" for a in ids]].to_numpy(float)
    column = ids.index(chosen)
    final = (frame["final_choice"] == chosen).to_numpy(float)
    read = frame["final_choice"].notna().to_numpy(float)
    usable = np.isfinite(pivots).all(axis=1) & frame["pivot_choice"].notna().to_numpy()
    if "pivot_listed" in frame:  # a token from outside the list corrects nothing
        usable &= frame["pivot_listed"].astype("boolean").fillna(True).to_numpy(bool)
    said = (frame["pivot_choice"] == chosen).to_numpy(float)
    corrected = final + np.where(usable, np.nan_to_num(pivots[:, column]) - said, 0.0)
    written = frame["completion_tokens"].to_numpy(float)
    more = written + frame["branch_tokens"].to_numpy(float)
    rows = {
        "choice": _measured(final, read, written, cells),
        "corrected": _measured(corrected, read, written, cells),
        "branching": _measured(beliefs[:, column], beliefs.sum(axis=1), more, cells),
    }
    import pandas as pd

    table = pd.DataFrame.from_dict(
        rows, orient="index", columns=["mean", "se", "variance", "tokens"]
    )
    cost = table["variance"] * table["tokens"]
    table["cost"] = cost / cost["choice"] if cost["choice"] > 0 else np.nan
    apart = beliefs[:, column] - corrected
    spread = _within(apart, cells)
    se = float(np.sqrt(spread / len(apart)))
    return BranchingCheck(
        table,
        chosen,
        float(apart.mean()),
        se,
        float(2 * stats.norm.sf(abs(apart.mean()) / se)) if se > 0 else float("nan"),
        len(frame),
        int(frame["mismatch"].fillna(False).sum()),
        int((frame["status"] == "unread").sum()),
    )


def _within(values: np.ndarray, cells: np.ndarray) -> float:
    """Variance within cells, pooled."""
    _, code, size = np.unique(cells, return_inverse=True, return_counts=True)
    means = np.bincount(code, values) / size
    return float(((values - means[code]) ** 2).sum() / max(len(values) - len(size), 1))


def _measured(
    outcome: np.ndarray, read: np.ndarray, tokens: np.ndarray, cells: np.ndarray
) -> list[float]:
    """Ratio mean(outcome) / mean(read), its SE, the variance of one run, tokens per run."""
    if not read.sum() > 0:
        raise DesignError("no answer of the panel is read as a choice: there is nothing to compare")
    mean = outcome.sum() / read.sum()
    influence = (outcome - mean * read) / read.mean()
    variance = _within(influence, cells)
    return [float(mean), float(np.sqrt(variance / len(outcome))), variance, float(tokens.mean())]
