"""The known truth of a panel, and fits that contradict it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from llmdemand.core.line import OneLine
from llmdemand.core.shards.shards import AnyPanel, runs_by_cell
from llmdemand.errors import DesignError

if TYPE_CHECKING:
    import pandas as pd

    from llmdemand.modeling.models.results import LogitResults

__all__ = ["Truth", "known_truth"]

# Standard errors beyond which a difference is no chance: 6 in 100,000 under the normal law.
_CHANCE = 4.0
# Differences that rounding makes.
_ROUNDING = 1e-6


@dataclass(frozen=True, repr=False)
class Truth(OneLine):
    """What is true of the consumer who answered, over the whole design.

    Attributes
    ----------
    shares : mapping of str to float
        Mean share of each alternative over the cells.
    elasticities : mapping of str to mapping of str to float
        By alternative j, then by the alternative k whose price it is, ``sum_c p_ck ds_cj / dp_ck
        / sum_c s_cj``: per cent of the mean share of j per per cent of the price of k in all
        cells. It is ``elasticity(kind="matrix", average="share_weighted")`` of a fit.
    spread : mapping of str to mapping of str to float
        Standard deviation of an elasticity that is true of one cell drawn at random; of n runs
        out of N, ``spread sqrt((1 - n / N) / n)``.
    runs : int
        Runs of the panel, N.
    varying : tuple of str
        Alternatives whose price varies.
    beyond_logit : tuple of str
        What the consumer has that a logit with the prices as regressors has not.
    """

    shares: Mapping[str, float]
    elasticities: Mapping[str, Mapping[str, float]]
    spread: Mapping[str, Mapping[str, float]]
    runs: int
    varying: tuple[str, ...]
    beyond_logit: tuple[str, ...] = ()

    def summary(self) -> str:
        """Shares, own and cross elasticities in words."""
        own = [f"{j} {row[j]:.3g}" for j, row in self.elasticities.items() if j in row]
        cross = [
            f"{j} by the price of {k} {value:.3g}"
            for j, row in self.elasticities.items()
            for k, value in row.items()
            if k != j
        ]
        shares = ", ".join(f"{j} {s:.3f}" for j, s in self.shares.items())
        return (
            f"Known truth, over the design: mean shares {shares}; own-price elasticities of them "
            f"{', '.join(own)}; cross-price elasticities {', '.join(cross)}."
        )

    def compared(self, fit: LogitResults) -> pd.DataFrame:
        """The elasticities of a fit beside the true ones.

        Parameters
        ----------
        fit : LogitResults
            Of the panel's runs, alternatives called by the menu's ids. Runs that do not enter are
            taken to be missing at random, as refusals are, and allowed for.

        Returns
        -------
        pandas.DataFrame
            ``alternative, rival, estimate, se, lower, upper, truth, z``, those that both know; z
            in standard errors, with those of the truth of the runs that enter.

        Raises
        ------
        DesignError
            If the fit has no elasticities: no price, or separated.
        """
        found = fit.elasticity(kind="matrix", average="share_weighted").table.copy()
        found["rival"] = found.get("rival", found["alternative"])
        found["rival"] = found["rival"].str.removeprefix("price_")
        pairs = list(zip(found["alternative"], found["rival"], strict=True))
        known = np.array([k in self.elasticities.get(j, {}) for j, k in pairs], dtype=bool)
        found = found.loc[known, ["alternative", "rival", "estimate", "se", "lower", "upper"]]
        pairs = [pair for pair, here in zip(pairs, known, strict=True) if here]
        found["truth"] = [self.elasticities[j][k] for j, k in pairs]
        entering = min(float(fit.nobs), self.runs)
        missing = np.sqrt((1 - entering / self.runs) / entering)
        others = np.array([self.spread[j][k] for j, k in pairs]) * missing
        with np.errstate(divide="ignore", invalid="ignore"):
            away = found["estimate"] - found["truth"]
            near = away.abs() <= _ROUNDING * (1 + found["truth"].abs())
            found["z"] = np.where(near, 0.0, away / np.hypot(found["se"], others))
        return found.reset_index(drop=True)

    def contradiction(self, fit: LogitResults, name: str = "the fit") -> str:
        """How a fit contradicts the truth by more than chance; empty where it does not.

        Parameters
        ----------
        fit : LogitResults
            See `compared`.
        name : str
            What it is called.

        Returns
        -------
        str
            A sentence with the elasticity that is farthest off, its interval, the truth, and the
            likely reason. More than chance are four standard errors, with few clusters as many
            as have the same probability under Student's law.
        """
        from scipy.stats import norm, t

        try:
            table = self.compared(fit)
        except DesignError:
            return ""  # said of the fit itself
        chance = float(t.isf(norm.sf(_CHANCE), fit.df)) if np.isfinite(fit.df) else _CHANCE
        off = table[table["z"].abs() > chance].sort_values("z", key=np.abs)
        if off.empty:
            return ""
        worst: Any = off.iloc[-1]
        own = worst["alternative"] == worst["rival"]
        whose = worst["alternative"]
        what = f"own-price elasticity of {whose}"
        if not own:
            what = f"elasticity of {whose} by the price of {worst['rival']}"
        more = f" ({len(off)} of {len(table)} elasticities are off)" if len(table) > 1 else ""
        lacking = [k for k in self.varying if k not in set(table["rival"])]
        reasons = [f"the price of {k} varies and is not in the fit" for k in lacking]
        reasons += self.beyond_logit
        likely = "; ".join(reasons) or (
            "none is known of this consumer, so look at the formula and at which runs enter"
        )
        return (
            f"{name[:1].upper()}{name[1:]} contradicts the known truth: over the design the {what} "
            f"is {worst['estimate']:.3g}, 95 % interval "
            f"{worst['lower']:.3g} to {worst['upper']:.3g}, and the truth is {worst['truth']:.3g}, "
            f"{abs(worst['z']):.0f} standard errors away{more}. Likely reason: {likely}."
        )


def known_truth(panel: AnyPanel) -> Truth | None:
    """The truth of a panel that a known-truth consumer answered.

    Parameters
    ----------
    panel : Panel or PanelShards
        The whole design, each cell as often: what is true over it is not true of a part.

    Returns
    -------
    Truth or None
        None where nobody knows: another backend, an older panel, a part of the design.

    Examples
    --------
    >>> from llmdemand import fit_demand, load_study, simulate
    >>> panel = simulate(load_study("pampers"), "synthetic", runs=20, seed=1)
    >>> truth = known_truth(panel)
    >>> round(truth.elasticities["pampers"]["pampers"], 2)
    -6.14
    >>> truth.contradiction(fit_demand(panel, "belief"))
    ''
    """
    told = panel.provenance.get("truth")
    if not told or not len(panel) or "elasticities" not in told or panel.study.weights:
        return None  # the truth of numbers is no elasticity of shares
    runs = runs_by_cell(panel)
    if len(runs) != told["cells"] or runs.nunique() > 1:
        return None
    measure = panel.study.measure
    measured = () if measure == "logprob" else (f"the measure is {measure!r}, no model belief",)
    return Truth(
        told["shares"],
        told["elasticities"],
        told["spread"],
        len(panel),
        tuple(a for a, grid in panel.study.prices.items() if len(set(grid)) > 1),
        (*measured, *told["beyond_logit"]),
    )
