"""Prices or products without humans: an assumption on the LLM's error there, and its bound."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from llmdemand.calibration.carried.flips import best_price, conclusion
from llmdemand.calibration.fidelity import figures
from llmdemand.calibration.fidelity.held_out import carried
from llmdemand.calibration.fidelity.sides import FEW, LEAST, Sides, interval, sides
from llmdemand.calibration.samples.entries import (
    check_beliefs,
    check_outcomes,
    columns_of,
    respondent_ids,
)
from llmdemand.core.line import OneLine
from llmdemand.errors import DesignError, UsageError, choose
from llmdemand.modeling.arrays import Array
from llmdemand.modeling.likelihood.cells import sigmoid
from llmdemand.modeling.sample.sample import plain, require

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

__all__ = ["Transport", "transport"]

Error = Literal["constant", "linear"]


@dataclass(frozen=True, repr=False)
class Transport(OneLine):
    """Shares where no human was asked, by an assumption that is stated.

    Attributes
    ----------
    table : pandas.DataFrame
        By price or product: ``answers`` of humans, ``humans``, ``llm``, ``error`` (humans' less
        the LLM's log-odds), and ``share, se, lower, upper``: humans' own where there are such,
        transported elsewhere, there with ``bound_lower, bound_upper``, the interval if the error
        is off by `delta`.
    held_out : pandas.DataFrame
        Each price or product with humans, as if it had none: ``humans, predicted, error, se,
        lower, upper``, errors in log-odds. Heuristic: what the assumption did here.
    conclusions : pandas.DataFrame
        Slope of the log-odds in price, best price: ``estimate, lower, upper``, what they are
        within the bound (``bound_lower, bound_upper``), and the delta at which the conclusion
        flips, ``flips_at``, with its interval ``flips_lower, flips_upper``.
    delta : float
        The bound, in log-odds.
    stated : bool
        Whether the user gave it; else it is the largest error that was held out.
    by, error : str
        The column; what was assumed of the error.
    alpha : float
        One minus the confidence level.
    notes : tuple of str
        What has to be known.
    """

    table: pd.DataFrame
    held_out: pd.DataFrame
    conclusions: pd.DataFrame
    delta: float
    stated: bool
    by: str
    error: Error
    alpha: float
    notes: tuple[str, ...]

    @property
    def _line(self) -> str:
        return self.verdict()

    @property
    def assumption(self) -> str:
        """What everything without humans rests on."""
        how = "is that where they are" if self.error == "constant" else "goes on linearly in it"
        return (
            f"the LLM's error in log-odds at each {self.by} without humans {how}, within "
            f"{self.delta:.2g}"
        )

    def verdict(self) -> str:
        """Assumption, and what it takes to flip the conclusions."""
        said = [f"Assumed, not shown: {self.assumption}."]
        for name, row in self.conclusions.to_dict("index").items():
            said.append(
                f"The {name} ({row['estimate']:.3g}) flips if the error differs by "
                f"{row['flips_at']:.2g} ({row['flips_lower']:.2g} to {row['flips_upper']:.2g})."
            )
        worst = float(self.held_out["error"].abs().max())
        said.append(f"Heuristic: held out, it differed by up to {worst:.2g}.")
        return " ".join([*said, *(n + "." for n in self.notes if n.startswith("WARNING"))])

    def summary(self) -> str:
        """Verdict and tables."""
        show = lambda v: f"{v:.4g}"  # noqa: E731
        parts = [
            self.verdict(),
            self.table.to_string(float_format=show, na_rep="-"),
            "conclusions\n" + self.conclusions.to_string(float_format=show),
            f"heuristic: each {self.by} held out\n" + self.held_out.to_string(float_format=show),
        ]
        return "\n\n".join([*parts, *self.notes])

    def __str__(self) -> str:
        return self.summary()

    def plot(self, ax: Axes | None = None) -> Axes:
        """Shares with intervals, and bounds where no human was asked."""
        return figures.transported(self.table, self.by, self.delta, ax)


def transport(
    humans: pd.DataFrame,
    beliefs: pd.DataFrame,
    *,
    by: str = "price",
    outcome: str = "choice",
    belief: str = "belief",
    cluster: str = "respondent_id",
    error: Error = "constant",
    delta: float | None = None,
    cost: float = 0.0,
    moves: float = 0.0,
    alpha: float = 0.05,
    reps: int = 399,
    seed: int = 1,
) -> Transport:
    """Shares at prices or products that no human was asked, and how far they can be trusted.

    Parameters
    ----------
    humans : pandas.DataFrame
        Answers of people at some prices or products.
    beliefs : pandas.DataFrame
        The LLM's at all of them.
    by : str
        Column of prices (numbers) or products (anything else; then there are shares alone).
    outcome, belief, cluster : str
        Columns of answers in [0, 1], of beliefs, of respondents.
    error : str
        What is assumed: the LLM's error in log-odds is ``constant``, or ``linear`` in price.
    delta : float, optional
        By how much that error may be off where there are no humans, in log-odds; the largest
        error of the prices held out by default.
    cost, moves : float
        The best price has the largest ``(price - cost) share`` of those asked; it flips if it
        moves by more than `moves`.
    alpha, reps, seed
        One minus the confidence level; the bootstrap over respondents.

    Returns
    -------
    Transport

    Raises
    ------
    DesignError
        If no price is without humans, too few have them, or everybody says the same at one.
    UsageError
        For impossible options.

    Notes
    -----
    With humans' mean y_t and the LLM's f_t, ``e_t = logit y_t - logit f_t``; where there are no
    humans, ``logit share = logit f_t + e``, e the mean of the e_t or their line in price. Nothing
    in the data checks e there. The bound lets the error of each such price differ on its own by
    up to delta. The slope is that of least squares of log-odds on price, ``sum_t c_t logit
    share_t``, so delta moves it by at most ``delta A``, A the sum of ``|c_t|`` over prices
    without humans: it flips at ``|slope| / A``. Intervals are percentiles of a bootstrap over
    respondents, who stay together on both sides.

    Examples
    --------
    >>> from llmdemand.calibration.paired import paired_panel
    >>> data = paired_panel(humans=200, llm=500, seed=1)
    >>> found = transport(data.humans[data.humans["price"] < 45], data.beliefs, delta=0.3)
    >>> found.table["answers"].tolist(), found.stated
    ([200, 200, 200, 0], True)
    """
    import pandas as pd

    choose(error, Error, "error")
    if not 0 < alpha < 1 or not 20 <= reps <= 10_000 or moves < 0:
        raise UsageError("alpha lies in (0, 1), reps in 20 to 10,000, moves is not negative")
    if delta is not None and not (delta >= 0 and np.isfinite(delta)):
        raise UsageError(f"delta={delta}: give a number of log-odds, 0 or more")
    sample, numbers = _read(humans, beliefs, (by, outcome, belief, cluster), error, reps, seed)
    count = sample.asked[0].sum(axis=0)
    own = count > 0
    with np.errstate(divide="ignore", invalid="ignore"):
        y, f = (sample.sums(x) / sample.sums(a) for x, a in zip(sample.mean, sample.asked,
                                                                 strict=True))  # fmt: skip
        y[:, ~own] = 0.5
        # A draw in which everybody says the same has no log-odds.
        found = (np.log(x / (1 - x)) for x in (y, f))
        odds_y, odds_f = (np.where(np.isfinite(o), o, np.nan) for o in found)
    _check(sample.levels, own, y[0], f[0], count, by, error)
    gap = (odds_y - odds_f)[:, own]
    at = sample.levels.astype(np.float64) if numbers else np.zeros(len(own))
    weights = carried(at, own, error == "linear", at)
    odds = np.where(own, odds_y, odds_f + gap @ weights.T)
    out = _held_out(sample.levels[own], odds_y[:, own], odds_f[:, own], at[own], error, alpha)
    bound = float(out["error"].abs().max()) if delta is None else float(delta)
    rows = {}
    if numbers:
        c = (at - at.mean()) / ((at - at.mean()) ** 2).sum()
        slope, reach = odds @ c, float(np.abs(c[~own]).sum())
        rows[f"slope of log-odds in {by}"] = conclusion(
            slope, lambda d: (slope - d * reach, slope + d * reach), np.abs(slope) / reach,
            bound, alpha,
        )  # fmt: skip
        rows[f"best {by}"] = best_price(odds, at, own, cost, moves, bound, alpha)
    notes = _notes(sample, odds, out, at, own)
    return Transport(
        _table(sample.levels, own, count, (y[0], f[0]), odds_y - odds_f, odds, bound, alpha, by),
        out.rename_axis(by),
        pd.DataFrame(rows).T,
        bound,
        delta is not None,
        by,
        error,
        alpha,
        notes,
    )


def _notes(
    sample: Sides, odds: Array, held_out: pd.DataFrame, at: Array, own: Any
) -> tuple[str, ...]:
    people = int(np.sum(sample.asked[0].any(axis=1)))
    notes = [f"{people} humans: below {FEW} intervals are too short"] if people < FEW else []
    off = (held_out["lower"] > 0) | (held_out["upper"] < 0)
    if off.any():
        notes.append(
            "WARNING: the assumption fails where it can be checked: held out, "
            f"{', '.join(map(str, held_out.index[off]))} differ by more than chance"
        )
    if (at[~own] < at[own].min()).any() or (at[~own] > at[own].max()).any():
        notes.append(
            "WARNING: some prices lie beyond those of the humans: held-out prices between others "
            "say little of them"
        )
    if lost := int(np.sum(~np.isfinite(odds).all(axis=1))):
        notes.append(
            f"in {lost} of {sample.reps} draws everybody said the same somewhere: intervals are "
            "missing"
        )
    return tuple(notes)


def _read(
    humans: Any, beliefs: Any, names: tuple[str, str, str, str], error: str, reps: int, seed: int
) -> tuple[Sides, bool]:
    """Both sides at the LLM's prices, and whether these are numbers."""
    import pandas as pd

    by, outcome, belief, cluster = names
    left, right = columns_of(humans, beliefs)
    require([cluster, by, outcome], left, "among the humans")
    require([cluster, by, belief], right, "among the beliefs")
    h, p = plain(humans[[cluster, by, outcome]]), plain(beliefs[[cluster, by, belief]])
    for frame, name in ((h, "humans"), (p, "beliefs")):
        if frame.isna().any(axis=None):
            raise DesignError(f"{name} have missing values: mend them or leave them out")
    check_outcomes(h[outcome], outcome, "fraclogit")
    check_beliefs(p[belief], belief, "beliefs")
    numbers = all(f[by].dtype.kind in "iuf" for f in (h, p))
    if error == "linear" and not numbers:
        raise UsageError(f"error='linear' needs numbers in {by!r}: of products it is 'constant'")
    at: list[Any] = [
        f[by].to_numpy(np.float64) if numbers else f[by].astype(str).to_numpy() for f in (h, p)
    ]
    if strange := sorted(set(at[0].tolist()) - set(at[1].tolist())):
        raise DesignError(f"{by} {strange[0]} of the humans was not asked of the LLM: ask it there")
    ids = respondent_ids(h[cluster], p[cluster])
    code, known = pd.factorize(np.concatenate([np.asarray(i, object) for i in ids]))
    values = h[outcome].to_numpy(np.float64), p[belief].to_numpy(np.float64)
    who = (code[: len(h)], code[len(h) :])
    return sides((at[0], at[1]), values, who, len(known), reps, seed, every=True), numbers


def _check(
    levels: Array, own: Any, y: Array, f: Array, count: Array, by: str, error: Error
) -> None:
    if own.all():
        raise DesignError(f"humans were asked at every {by}: there is nothing to transport")
    least = 2 if error == "constant" else 3
    if own.sum() < least:
        raise DesignError(
            f"humans at {int(own.sum())} of {by}: a {error} error that is held out needs {least}"
        )
    for level, mine, a, b, n in zip(levels.tolist(), own, y, f, count, strict=True):
        if mine and n < LEAST:
            raise DesignError(f"{int(n)} humans at {by} {level}: {LEAST} are the least")
        if not (0 < b < 1 and 0 < a < 1):
            raise DesignError(
                f"at {by} {level} everybody says the same: log-odds are infinite; leave it out"
            )


def _held_out(
    levels: Array, y: Array, f: Array, at: Array, error: Error, alpha: float
) -> pd.DataFrame:
    """Each price predicted with the errors of the others."""
    import pandas as pd

    rows = {}
    for k, level in enumerate(levels.tolist()):
        kept = np.arange(len(levels)) != k
        weights = carried(at, kept, error == "linear", at[[k]])[0]
        told = f[:, k] + (y - f)[:, kept] @ weights
        miss = y[:, k] - told
        se, lower, upper = interval(miss, alpha)
        rows[level] = {
            "humans": float(sigmoid(y[:1, k])[0]),
            "predicted": float(sigmoid(told[:1])[0]),
            "error": float(miss[0]),
            "se": se,
            "lower": lower,
            "upper": upper,
        }
    return pd.DataFrame(rows).T


def _table(
    levels: Array,
    own: Any,
    count: Array,
    means: tuple[Array, Array],
    gap: Array,
    odds: Array,
    bound: float,
    alpha: float,
    by: str,
) -> pd.DataFrame:
    import pandas as pd

    rows = {}
    for k, level in enumerate(levels.tolist()):
        se, lower, upper = interval(sigmoid(odds[:, k]), alpha)
        row = {
            "answers": int(count[k]),
            "humans": float(means[0][k]) if own[k] else np.nan,
            "llm": float(means[1][k]),
            "error": float(gap[0, k]) if own[k] else np.nan,
            "share": float(sigmoid(odds[:1, k])[0]),
            "se": se,
            "lower": lower,
            "upper": upper,
            "bound_lower": lower if own[k] else interval(sigmoid(odds[:, k] - bound), alpha)[1],
            "bound_upper": upper if own[k] else interval(sigmoid(odds[:, k] + bound), alpha)[2],
        }
        rows[level] = row
    return pd.DataFrame(rows).T.rename_axis(by).astype({"answers": int})
