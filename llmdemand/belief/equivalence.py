"""Whether belief has the mean of choice: of the final one, and of that at the pivot."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from llmdemand.core.line import OneLine
from llmdemand.core.menu import fold
from llmdemand.core.panel import Panel
from llmdemand.core.shards.shards import AnyPanel, Tally, totalled
from llmdemand.errors import DesignError
from llmdemand.scale.sums import Moments, Sums

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Equivalence", "certain", "check_equivalence", "equivalence_tallies"]

Floats = NDArray[np.float64]

_FEW, _SURE = 10, 1e-3
_COIN = 0.25
_DOUBT = 1e-3  # p-value below which belief is said to be another one

# Draws of the law of sums of squares: so many, as far as this much work goes, at least.
_DRAWS, _WORK, _LEAST, _BLOCK = 19_999, 60_000_000, 999, 2_000_000
# Of more beliefs the law is drawn by their number and mean in so many classes of log-odds, of
# which those beyond the edge are one: a class varies as its beliefs do, to a part in a thousand.
_MANY, _CLASSES, _EDGE = 20_000, 240, 30.0


@dataclass(frozen=True, repr=False)
class Equivalence(OneLine):
    """Mean choice against mean belief, cell by cell and together.

    The final choice is the check that can fail: choice and belief at the pivot agree even where
    every answer is misread there.

    Attributes
    ----------
    cells : pandas.DataFrame
        By cell: ``runs, mean_choice, mean_belief, z`` and the decomposition
        ``var_choice = var_belief + within``, with ``within = E[b (1 - b)]``
        (population variances; the identity holds in expectation); of the answers whose final
        choice was read ``read, mean_final, final_z``.
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
    read : int
        Usable runs whose final choice was read, which the next ones are of.
    final_difference, final_se : float
        Mean of the final choice minus belief, and its standard error; NaN where none was read.
    final_z, final_pvalue : float
        Of that difference, normal law.
    final_chi2, final_chi2_pvalue : float
        As `chi2`, of final choices.
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
    read: int = 0
    final_difference: float = float("nan")
    final_se: float = float("nan")
    final_z: float = float("nan")
    final_pvalue: float = float("nan")
    final_chi2: float = float("nan")
    final_chi2_pvalue: float = float("nan")

    @property
    def _line(self) -> str:
        last = f"{self._final}; " if self.read else ""
        return (
            f"{last}mean choice less mean belief {self.difference:.4f} ({self.se:.2g}), p = "
            f"{self.pvalue:.3g}; {len(self.cells)} cells, p = {self.chi2_pvalue:.3g}"
        )

    @property
    def _final(self) -> str:
        return (
            f"mean final choice less mean belief {self.final_difference:.4f} "
            f"({self.final_se:.2g}), p = {self.final_pvalue:.3g}"
        )

    def summary(self) -> str:
        """Both comparisons in sentences, that with the final choice first."""
        if not self.read:
            last = "no usable run has a final choice: whether the pivot tells it is not known"
        elif np.isnan(self.final_pvalue):
            last = f"belief was sure of the final choice of all {self.read} answers, and right"
        else:
            last = (
                f"final choice minus belief at the pivot, {self.read} answers: mean "
                f"{self.final_difference:.4f} (SE {self.final_se:.4f}), p = "
                f"{_p(self.final_pvalue)}; by cell chi2 {self.final_chi2:.1f}, p = "
                f"{_p(self.final_chi2_pvalue)}"
            )
            if min(self.final_pvalue, self.final_chi2_pvalue) < _DOUBT:
                last += ": BELIEF AT THE PIVOT IS NOT THAT OF THE WHOLE ANSWER"
        start = (
            f"mean choice at the pivot minus mean belief {self.difference:.4f} (SE {self.se:.4f})"
        )
        if np.isnan(self.chi2_pvalue):
            return (
                f"{last}\n{start}; every belief is 0 or 1 and came true, so choice and belief are "
                "the same and there is nothing to test"
            )
        icc = (
            f"{self.icc:.3f}" if not np.isnan(self.icc) else "unknown: nothing varies within cells"
        )
        return (
            f"{last}\n{start}; by cell chi2 {self.chi2:.1f}, p = {self.chi2_pvalue:.3f}; "
            f"intra-cell correlation {icc}"
        )


def check_equivalence(panel: AnyPanel, alternative: str | None = None) -> Equivalence:
    """Test that belief has the mean of the final choice, and of that at the pivot, in every cell.

    Given its belief b, a run's choice is Bernoulli(b): the differences ``y - b``
    have mean 0 and variance ``b (1 - b)``, independently over runs, whatever the
    cells. So ``z = sum(y - b) / sqrt(sum b (1 - b))`` is standard normal when the
    extraction is right, even where the pivot of every answer is misread: that is the check of
    the arithmetic. If the pivot tells the choice of the whole answer, the same holds of final
    choices F, ``z = sum(F - b) / sd``: that is the check that can fail. Its sd is the larger
    of what belief says of it and of what the differences scatter over runs: changes of mind
    scatter more than belief says. Cells take what belief says, and at least the variance of one
    tossed coin, so that a single change of mind is no proof where belief was all but sure.

    Parameters
    ----------
    panel : Panel or PanelShards
        Runs; those with status ``ok`` enter, the first test those whose whole answer was read.
    alternative : str, optional
        The study's focal alternative by default.

    Returns
    -------
    Equivalence

    Raises
    ------
    DesignError
        If no run is usable, or the probabilities are not log-probabilities.
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

    name = panel.study.watched if alternative is None else alternative
    panel.study.menu.index(name)
    if panel.study.measure != "logprob":
        raise DesignError(
            f"the panel's measure is {panel.study.measure!r}: choices are not drawn from such "
            "probabilities, so that they need not be equal; see check_coherence"
        )
    found = totalled(partial(_sums, name=name), panel)
    every: Moments = found["every"]
    if not len(every.keys):
        raise DesignError(f"no usable run among {len(panel)}: nothing to compare")
    n, (y, b, noise) = every.n, every.total.T
    cells = pd.DataFrame(
        {
            "runs": n.astype(int),
            "mean_choice": y / n,
            "mean_belief": b / n,
            "var_choice": every.products[:, 0, 0] / n,
            "var_belief": every.products[:, 1, 1] / n,
            "within": noise / n,
        },
        index=pd.Index(every.keys, name="cell"),
    )
    gap, runs = y - b, float(n.sum())
    cells["z"] = _ratio(gap, np.sqrt(noise))
    chi2, random = float(np.nansum(cells["z"] ** 2)), int((noise > 0).sum())
    z = _one(gap.sum(), np.sqrt(noise.sum()))
    spread = (cells["runs"] * (cells["var_belief"] + cells["within"])).sum()
    last = _final(found["read"], cells)
    return Equivalence(
        cells,
        float(gap.sum() / runs),
        float(np.sqrt(noise.sum()) / runs),
        z,
        float(2 * stats.norm.sf(abs(z))),
        chi2,
        _by_cell(chi2, random, noise, panel, name),
        float((cells["runs"] * cells["var_belief"]).sum() / spread) if spread else float("nan"),
        _certainty(found["certain"]),
        **last,
    )


def _sums(panel: Panel, name: str) -> Sums:
    """Moments by cell of choice, belief and noise; of those that were read, of what differs."""
    ok = panel.usable
    cell, b = ok["cell"].to_numpy(), ok[f"belief_{name}"].to_numpy(float)
    y, noise = (ok["choice"] == name).to_numpy(float), b * (1 - b)
    known = ok["final_choice"].notna().to_numpy()
    final = (ok["final_choice"] == name).to_numpy(float)
    read = np.column_stack([final, final - b, noise])[known]
    return Sums(
        every=Moments.of(cell, np.column_stack([y, b, noise])),
        read=Moments.of(cell[known], read),
        certain=_sure(panel),
    )


def _final(read: Moments, cells: pd.DataFrame) -> dict[str, Any]:
    """The comparison with final choices; its columns are added to `cells`."""
    import pandas as pd
    from scipy import stats

    known = pd.DataFrame(read.total, read.keys, ["final", "apart", "noise"]).assign(n=read.n)
    total = known.reindex(cells.index, fill_value=0.0)
    cells["read"] = total["n"].astype(int)
    cells["mean_final"] = (total["final"] / total["n"]).where(total["n"] > 0)
    gap = total["apart"].to_numpy()
    sd = np.sqrt(np.maximum(total["noise"].to_numpy(), _COIN))
    cells["final_z"] = np.where(total["n"] > 0, gap / sd, np.nan)
    n = int(read.n.sum())
    if not n:
        return {}
    around = read.total[:, 1] / read.n - gap.sum() / n
    squares = float(read.products[:, 1, 1].sum() + read.n @ around**2)
    scatter = squares * n / (n - 1) if n > 1 else 0.0
    one = float(np.sqrt(max(scatter, float(total["noise"].sum()))))
    z, random = _one(gap.sum(), one), int(cells["final_z"].notna().sum())
    chi2 = float(np.nansum(cells["final_z"] ** 2))
    return {
        "read": n,
        "final_difference": float(gap.sum()) / n,
        "final_se": one / n,
        "final_z": z,
        "final_pvalue": float(2 * stats.norm.sf(abs(z))),
        "final_chi2": chi2,
        "final_chi2_pvalue": float(stats.chi2.sf(chi2, random)) if random else float("nan"),
    }


def _p(value: float) -> str:
    return "below 0.000001" if value < 1e-6 else f"{value:.3g}"


def equivalence_tallies(panel: AnyPanel, *, sure: bool = False) -> tuple[Tally, ...]:
    """What `check_equivalence` first counts in each part, and `certain`, for `tallied`."""
    if panel.study.measure != "logprob":
        return ()
    return (partial(_sums, name=panel.study.watched), *((_sure,) if sure else ()))


def _one(gap: float, sd: float) -> float:
    return float(_ratio(np.array([gap]), np.array([sd]))[0])


def _by_cell(chi2: float, random: int, noise: Floats, panel: AnyPanel, name: str) -> float:
    """The chance of so large a sum of squares, were every choice drawn from its belief.

    It is chi-squared where each cell expects some surprises. Where one expects hardly any,
    a single surprise is a huge square, and the law is drawn.
    """
    from scipy import stats

    if not random:
        return float("nan")
    if np.isinf(chi2) or noise[noise > 0].min() >= 1:
        return float(stats.chi2.sf(chi2, random))
    whole = len(panel) <= _MANY
    found = totalled(partial(_classes, name=name, whole=whole), panel)["of"]
    code = found.index.get_level_values("cell").to_numpy()
    n, total = (found[k].to_numpy(float) for k in ("n", "total"))
    start = np.flatnonzero(np.append(True, code[1:] != code[:-1]))
    several = n > 1
    cost = len(n) + 10 * int(several.sum())  # of a binomial number, that of ten uniform ones
    draws = int(np.clip(_WORK // cost, _LEAST, _DRAWS))
    rng, larger, done, size = np.random.default_rng(1), 0, 0, max(1, _BLOCK // len(n))
    mean, counts = total / n, n[several].astype(int)
    while done < draws:
        some = min(size, draws - done)
        drawn = (rng.random((some, len(n))) < mean).astype(float)
        drawn[:, several] = rng.binomial(counts, mean[several], (some, len(counts)))
        gap = np.add.reduceat(drawn - total, start, axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            squares = np.where(noise > 0, gap**2 / noise, 0.0).sum(axis=1)
        larger, done = larger + int((squares >= chi2 * (1 - 1e-9)).sum()), done + some
    return (1 + larger) / (1 + draws)


def _classes(panel: Panel, name: str, whole: bool) -> Sums:
    """How many beliefs there are, and their sum: of each value, or of many in a class."""
    import pandas as pd

    b = panel.usable[f"belief_{name}"].to_numpy(float)
    rows = pd.DataFrame({"cell": panel.usable["cell"].to_numpy(), "of": b, "total": b, "n": 1.0})
    if not whole:
        with np.errstate(divide="ignore"):
            odds = np.clip(np.log(b) - np.log1p(-b), -_EDGE, _EDGE)
        rows["of"] = np.round(odds * (_CLASSES / (2 * _EDGE)))
        rows.loc[(b == 0) | (b == 1), "of"] = np.inf  # they are certain, and no class's mean
        rows["of"] = rows["of"].where(rows["of"] < np.inf, np.where(b == 0, -np.inf, np.inf))
    return Sums(of=rows.groupby(["cell", "of"])[["n", "total"]].sum())


def _ratio(
    gap: Floats,
    sd: Floats,
) -> Floats:
    """``gap / sd``; NaN for certain beliefs that came true, inf for one that did not."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(np.abs(gap) < 1e-9, np.where(sd > 0, 0.0, np.nan), gap / sd)


def certain(panel: AnyPanel) -> str:
    """Said of a panel whose beliefs are all 0 or 1: that, and the reason."""
    return _certainty(totalled(_sure, panel))


def _sure(panel: Panel) -> Sums:
    """Usable runs; of them those of an unsure belief, and two kinds of sure ones."""
    ok = panel.usable
    ids = panel.study.menu.ids
    beliefs = ok[[f"belief_{a}" for a in ids]].to_numpy(float)
    chosen = beliefs[np.arange(len(ok)), [ids.index(str(c)) for c in ok["choice"]]]
    unsure, inside = int((chosen < 1 - _SURE).sum()), 0
    if not unsure:
        forms = {a.id: [fold(f) for f in a.forms] for a in panel.study.menu}
        pieces = [
            (fold(str(token).strip()), forms[str(choice)])
            for token, choice in zip(ok["pivot_token"], ok["choice"], strict=True)
        ]
        inside = sum(
            bool(piece) and any(piece in form and not form.startswith(piece) for form in written)
            for piece, written in pieces
        )
    alone = int((ok["decided_mass"] > 1 - _SURE).sum())
    return Sums(runs=len(ok), unsure=unsure, inside=inside, alone=alone)


def _certainty(found: Sums) -> str:
    runs = found["runs"]
    if runs < _FEW or found["unsure"]:
        return ""
    if 2 * found["inside"] > runs:
        reason = (
            "most pivot tokens lie within a name, whose first part had settled it: let the names "
            "of the menu begin differently"
        )
    elif found["alone"] == runs:
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
