"""Whether a panel's beliefs can be believed: what the answers went on to say, and more."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from llmdemand.core.line import OneLine
from llmdemand.core.menu import fold
from llmdemand.core.panel import Panel
from llmdemand.errors import DesignError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Audit", "Equivalence", "audit", "check_equivalence", "position", "thoughts"]

_LOCK = 0.95
_FEW, _SURE = 10, 1e-3


@dataclass(frozen=True, repr=False)
class Audit(OneLine):
    """Checks of a panel that look ahead, as extraction itself never does.

    Attributes
    ----------
    statuses : pandas.DataFrame
        ``runs, share`` by status, every status listed.
    tokens : pandas.DataFrame
        Rows: pivot tokens, most frequent first; columns: the alternative that the
        whole answer chooses (``none`` where that is unread). A pivot token that
        means one thing has all of its runs in one column.
    mismatches, checked : int
        Runs whose final choice is not that of the pivot, among those checked: runs
        with a pivot whose whole answer was read.
    stopped, unread : int
        Runs with a pivot whose answer was stopped there, and whose reader could not
        tell what the whole answer chooses.
    mismatch : tuple of float
        Share and its 95 % Wilson interval.
    decided_mass : pandas.Series
        Quantiles (0, .05, .25, .5, .75, .95, 1) of the decided mass at the pivot.
    width : float
        Mean width of the belief bounds of the study's focal alternative.
    first_chosen : tuple of float
        Share of choices that fall on the alternative named first, and its 95 %
        Wilson interval; NaN where no run has a choice.
    orders : int
        Alternatives that are named first in some run.
    position_locked : bool
        Whether the first-named alternative is chosen more than 95 % of the time
        although the order varies: no estimate should be read from such a panel.
    note : str
        Why belief says no more than choice, where it is 0 or 1 in every run; else empty.
    thoughts : str
        ``natural`` or ``forced`` where the model thinks first; else empty.
    thought_cut : float
        Share of thoughts that reached the most tokens before they were closed; NaN where
        the model does not think first.
    """

    statuses: pd.DataFrame
    tokens: pd.DataFrame
    mismatches: int
    checked: int
    stopped: int
    unread: int
    mismatch: tuple[float, float, float]
    decided_mass: pd.Series[float]
    width: float
    first_chosen: tuple[float, float, float]
    orders: int
    position_locked: bool
    note: str = ""
    thoughts: str = ""
    thought_cut: float = float("nan")

    def summary(self) -> str:
        """The audit as text."""
        share, low, high = (100 * v for v in self.mismatch)
        first, first_low, first_high = (100 * v for v in self.first_chosen)
        lock = "; POSITION-LOCKED: read no estimate from this" if self.position_locked else ""
        occurring = self.statuses[self.statuses["runs"] > 0]
        return "\n".join(
            [
                "statuses: " + ", ".join(f"{s} {int(r.runs)}" for s, r in occurring.iterrows()),
                f"the answer goes on to say something else: {self.mismatches} of {self.checked}, "
                f"{share:.1f} % ({low:.1f} to {high:.1f})"
                + (f"; {self.stopped} were stopped at the pivot" if self.stopped else "")
                + (f"; what {self.unread} choose was not read" if self.unread else ""),
                f"decided mass: median {self.decided_mass.loc[0.5]:.3f}, 5 % of runs below "
                f"{self.decided_mass.loc[0.05]:.3f}; mean width of the belief bounds "
                f"{self.width:.3f}",
                f"first-named option chosen: {first:.1f} % ({first_low:.1f} to {first_high:.1f}), "
                f"{self.orders} named first in turn{lock}",
                *(
                    [f"{self.thoughts} thoughts, {100 * self.thought_cut:.1f} % of them cut"]
                    if self.thoughts
                    else []
                ),
                *([self.note] if self.note else []),
                "",
                "pivot token by final choice",
                self.tokens.head(12).to_string(),
            ]
        )


def audit(panel: Panel) -> Audit:
    """Audit a panel: final choices, mismatches, masses, statuses, position lock.

    Parameters
    ----------
    panel : Panel
        Any panel; rows without a pivot are counted by their status alone.

    Returns
    -------
    Audit

    Raises
    ------
    DesignError
        If the panel has no rows.

    Notes
    -----
    Answers that were stopped at the pivot have nothing to go on to: they and unread
    ones are left out of `checked`. The interval is Wilson's (statsmodels).

    Examples
    --------
    >>> from llmdemand import load_study, simulate
    >>> found = audit(simulate(load_study("pampers"), "synthetic", runs=2, seed=1))
    >>> found.mismatches, found.checked
    (0, 32)
    """
    import pandas as pd

    if not len(panel):
        raise DesignError("the panel has no rows: there is nothing to audit")
    frame = panel.frame
    statuses = panel.statuses.to_frame("runs").assign(share=panel.statuses / len(frame))
    pivots = frame[frame["pivot_index"] >= 0]
    # An answer that was stopped at its pivot had no chance to say something else.
    whole = pivots[pivots["final_status"] != "stopped"]
    settled = whole[whole["mismatch"].notna()]
    final = whole["final_choice"].fillna("none").astype(str)
    tokens = pd.crosstab(whole["pivot_token"], final).reindex(
        columns=[*panel.study.menu.ids, "none"], fill_value=0
    )
    tokens = tokens.loc[tokens.sum(axis=1).sort_values(ascending=False, kind="stable").index]
    chosen = frame[frame["choice"].notna()]
    hits, orders, locked = position(chosen)
    focal = panel.study.focal
    return Audit(
        statuses,
        tokens,
        int(settled["mismatch"].sum()),
        len(settled),
        len(pivots) - len(whole),
        len(whole) - len(settled),
        _wilson(int(settled["mismatch"].sum()), len(settled)),
        pivots["decided_mass"].quantile([0, 0.05, 0.25, 0.5, 0.75, 0.95, 1]),
        float((pivots[f"hi_{focal}"] - pivots[f"lo_{focal}"]).mean()),
        _wilson(hits, len(chosen)),
        orders,
        locked,
        _certain(panel),
        *thoughts(panel),
    )


def _certain(panel: Panel) -> str:
    """Said of a panel whose beliefs are all 0 or 1: that, and the reason."""
    ok = panel.usable
    ids = panel.study.menu.ids
    beliefs = ok[[f"belief_{a}" for a in ids]].to_numpy(float)
    chosen = beliefs[np.arange(len(ok)), [ids.index(str(c)) for c in ok["choice"]]]
    if len(ok) < _FEW or (chosen < 1 - _SURE).any():
        return ""
    forms = {a.id: [fold(f) for f in a.forms] for a in panel.study.menu}
    pieces = [
        (fold(str(token).strip()), forms[str(choice)])
        for token, choice in zip(ok["pivot_token"], ok["choice"], strict=True)
    ]
    inside = sum(
        bool(piece) and any(piece in form and not form.startswith(piece) for form in written)
        for piece, written in pieces
    )
    if 2 * inside > len(ok):
        reason = (
            "most pivot tokens lie within a name, whose first part had settled it: let the names "
            "of the menu begin differently"
        )
    elif (ok["decided_mass"] > 1 - _SURE).all():
        reason = (
            "no other token had any probability at the pivot: what was written before it had "
            "settled the choice, or the server lists what it sampled and nothing else; ask for "
            "the choice first"
        )
    else:
        reason = (
            "the listed candidates of the other alternatives have no probability: list more of "
            "them, or ask for the choice first"
        )
    return f"belief equals choice in every run and says no more than it: {reason}"


def thoughts(panel: Panel) -> tuple[str, float]:
    """Which law belief is of where the model thinks first, and the share of thoughts cut."""
    kind = panel.study.thoughts
    cut = panel.frame["thought_cut"].mean() if kind and len(panel) else float("nan")
    return kind, float(cut)


def position(chosen: pd.DataFrame) -> tuple[int, int, bool]:
    """How far choices follow the position in which alternatives are named.

    Parameters
    ----------
    chosen : pandas.DataFrame
        Panel rows that have a choice.

    Returns
    -------
    hits, orders : int, int
        Choices of the alternative named first, and alternatives that are ever first.
    locked : bool
        Whether hits exceed 95 % of the rows although more than one is named first.
    """
    first = chosen["order"].str.split(">").str[0]
    hits, orders = int((chosen["choice"] == first).sum()), int(first.nunique())
    return hits, orders, orders > 1 and hits > _LOCK * len(chosen)


@dataclass(frozen=True, repr=False)
class Equivalence(OneLine):
    """Mean choice against mean belief, cell by cell and together.

    Attributes
    ----------
    cells : pandas.DataFrame
        By cell: ``runs, mean_choice, mean_belief, z`` and the decomposition
        ``var_choice = var_belief + within``, with ``within = E[b (1 - b)]``
        (population variances; the identity holds in expectation).
    difference, se : float
        Mean of choice minus belief over runs, and its standard error.
    z, pvalue : float
        Of the overall difference, normal law.
    chi2, chi2_pvalue : float
        Sum of the cells' squared z, and its p-value with one degree of freedom
        per cell that has any randomness.
    icc : float
        ``var_belief / var_choice`` within cells, pooled: the intra-cell
        correlation; one belief run is worth ``1 / icc`` choice runs.
    note : str
        Why belief says no more than choice, where it is 0 or 1 in every run: the test
        then compares choice with itself. Else empty.
    """

    cells: pd.DataFrame
    difference: float
    se: float
    z: float
    pvalue: float
    chi2: float
    chi2_pvalue: float
    icc: float
    note: str = ""

    @property
    def _line(self) -> str:
        return (
            f"mean choice less mean belief {self.difference:.4f} ({self.se:.2g}), p = "
            f"{self.pvalue:.3g}; {len(self.cells)} cells, p = {self.chi2_pvalue:.3g}"
        )


def check_equivalence(panel: Panel, alternative: str | None = None) -> Equivalence:
    """Test that belief and choice have the same mean in every cell.

    Given its belief b, a run's choice is Bernoulli(b): the differences ``y - b``
    have mean 0 and variance ``b (1 - b)``, independently over runs, whatever the
    cells. So ``z = sum(y - b) / sqrt(sum b (1 - b))`` is standard normal when the
    extraction is right.

    Parameters
    ----------
    panel : Panel
        Runs; those with status ``ok`` enter.
    alternative : str, optional
        The study's focal alternative by default.

    Returns
    -------
    Equivalence

    Raises
    ------
    DesignError
        If no run is usable.
    MenuError
        For an unknown alternative.

    Examples
    --------
    >>> from llmdemand import load_study, simulate
    >>> panel = simulate(load_study("pampers"), "synthetic", runs=50, seed=1)
    >>> bool(check_equivalence(panel).chi2_pvalue > 0.001)
    True
    """
    import pandas as pd
    from scipy import stats

    name = panel.study.focal if alternative is None else alternative
    panel.study.menu.index(name)
    ok = panel.usable
    if ok.empty:
        raise DesignError(f"no usable run among {len(panel)}: nothing to compare")
    b = ok[f"belief_{name}"].astype(float)
    y = (ok["choice"] == name).astype(float)
    data = pd.DataFrame({"cell": ok["cell"], "y": y, "b": b, "noise": b * (1 - b)})
    grouped = data.groupby("cell")
    cells = pd.DataFrame(
        {
            "runs": grouped.size(),
            "mean_choice": grouped["y"].mean(),
            "mean_belief": grouped["b"].mean(),
            "var_choice": grouped["y"].var(ddof=0),
            "var_belief": grouped["b"].var(ddof=0),
            "within": grouped["noise"].mean(),
        }
    )
    total = grouped[["y", "b", "noise"]].sum()
    gap, noise = (total["y"] - total["b"]).to_numpy(), total["noise"].to_numpy()
    cells["z"] = _ratio(gap, np.sqrt(noise))
    chi2, random = float(np.nansum(cells["z"] ** 2)), int((noise > 0).sum())
    z = float(_ratio(np.array([gap.sum()]), np.array([np.sqrt(noise.sum())]))[0])
    spread = (cells["runs"] * (cells["var_belief"] + cells["within"])).sum()
    return Equivalence(
        cells,
        float(gap.sum() / len(data)),
        float(np.sqrt(noise.sum()) / len(data)),
        z,
        float(2 * stats.norm.sf(abs(z))),
        chi2,
        float(stats.chi2.sf(chi2, random)) if random else float("nan"),
        float((cells["runs"] * cells["var_belief"]).sum() / spread) if spread else float("nan"),
        _certain(panel),
    )


def _ratio(
    gap: np.ndarray[tuple[int], np.dtype[np.float64]],
    sd: np.ndarray[tuple[int], np.dtype[np.float64]],
) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """``gap / sd``; NaN for certain beliefs that came true, inf for one that did not."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(np.abs(gap) < 1e-9, np.where(sd > 0, 0.0, np.nan), gap / sd)


def _wilson(hits: int, total: int) -> tuple[float, float, float]:
    if not total:
        return float("nan"), float("nan"), float("nan")
    from statsmodels.stats.proportion import proportion_confint

    low, high = proportion_confint(hits, total, method="wilson")
    return hits / total, float(low), float(high)
