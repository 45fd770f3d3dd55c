"""When to stop asking: intervals that hold at every look."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from numbers import Real
from typing import TYPE_CHECKING

from llmdemand.calibration.calibrated import CalibratedDemand
from llmdemand.calibration.moments.tuning import FEW, lost
from llmdemand.core.line import OneLine
from llmdemand.errors import DesignError, UsageError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Looks", "always_valid", "looks"]


@dataclass(frozen=True, repr=False)
class Looks(OneLine):
    """Estimates at several looks, with intervals that hold at all of them together.

    Attributes
    ----------
    table : pandas.DataFrame
        By look: ``humans, estimate, se, lower, upper``, and the interval for one planned look.
    stop : int or None
        Number of the first look (from 0) at which asking may stop; None if at none.
    rule : str
        When that is.
    target : str
        What is estimated.
    """

    table: pd.DataFrame
    stop: int | None
    rule: str
    target: str

    @property
    def _line(self) -> str:
        return self.verdict()

    def verdict(self) -> str:
        """Whether to stop, in a sentence."""
        row = self.table.iloc[-1 if self.stop is None else self.stop]
        said = (
            f"{self.target} {row['estimate']:.5g} ({row['lower']:.5g} to {row['upper']:.5g}, valid "
            "at every look)"
        )
        if self.stop is None:
            return f"Go on asking: {said} after {row['humans']:,.0f} humans; stop when {self.rule}."
        return f"Stop at {row['humans']:,.0f} humans: {said}; {self.rule}."

    def __str__(self) -> str:
        return self.verdict() + "\n\n" + self.table.to_string(float_format=lambda v: f"{v:.5g}")


def always_valid(n: float, planned: float, alpha: float = 0.05) -> float:
    """Standard errors to either side of an estimate that hold at every number of humans at once.

    Parameters
    ----------
    n : float
        Humans so far.
    planned : float
        Number of humans at which the interval is to be narrowest.
    alpha : float
        One minus the probability that all intervals hold.

    Returns
    -------
    float
        ``(2 (n r + 1) / (n r) log(sqrt(n r + 1) / alpha))^(1/2)`` with ``r = (-2 log alpha + log(-2
        log alpha) + 1) / planned``: an asymptotic confidence sequence (Waudby-Smith, Arbour, Sinha,
        Kennedy & Ramdas 2024, arXiv 2103.06476).

    Examples
    --------
    >>> round(always_valid(200, 200), 2), round(always_valid(50, 200), 2)
    (3.04, 3.23)
    """
    if not (0 < alpha < 1 and n > 0 and planned > 0):
        raise UsageError(f"n={n}, planned={planned}, alpha={alpha}: give positive numbers")
    log = -2 * math.log(alpha)
    r = (log + math.log(log) + 1) / planned if log > 1 else 1 / planned
    return math.sqrt(2 * (n * r + 1) / (n * r) * math.log(math.sqrt(n * r + 1) / alpha))


def looks(
    calibrations: Sequence[CalibratedDemand],
    *,
    planned: int,
    half_width: float | None = None,
    excludes: float | None = None,
    alpha: float = 0.05,
) -> Looks:
    """Look at a growing sample as often as you like, and stop when it is enough.

    Parameters
    ----------
    calibrations : sequence of CalibratedDemand
        One for each look, of the humans so far: the same people and more, asked in random order.
    planned : int
        Humans at which the intervals are to be narrowest: where you expect to stop.
    half_width : float, optional
        Stop when the interval reaches no farther than this to either side.
    excludes : float, optional
        Stop when the interval does not hold this number.
    alpha : float
        One minus the probability that all intervals hold.

    Returns
    -------
    Looks

    Raises
    ------
    DesignError
        For a first look at fewer than 30 humans (the sequence is asymptotic), looks that do not
        grow, several targets.
    UsageError
        Without a rule, or with both.

    Notes
    -----
    An interval for one look, looked at until it pleases, does not hold: at ten looks a 95 %
    interval fails in about one of five studies. These hold at all looks together, for about half
    as much again in width. Every look has its own lambda; t laws widen those of few humans.

    Examples
    --------
    >>> from llmdemand.calibration.paired import paired_panel
    >>> from llmdemand.calibration.ppi import calibrate
    >>> data = paired_panel(humans=200, llm=800, answers=1, seed=1)
    >>> found = [
    ...     calibrate(data.humans.iloc[:n], data.beliefs.drop(index=range(n, 200)),
    ...               prompt_chosen_on="nobody")
    ...     for n in (60, 120, 200)
    ... ]
    >>> looks(found, planned=200, excludes=0.0).stop
    0
    """
    import pandas as pd
    from scipy import stats

    if (half_width is None) == (excludes is None):
        raise UsageError("give half_width=... or excludes=..., one of them: when to stop")
    if half_width is not None and not (isinstance(half_width, Real) and half_width > 0):
        raise UsageError(f"half_width={half_width!r}: give a positive number")
    if not calibrations:
        raise UsageError("no looks: give a calibration for each")
    humans = [c.tuning.humans for c in calibrations]
    if len({c.target for c in calibrations}) > 1:
        raise DesignError("the looks are at several targets: give one")
    if any(b <= a for a, b in pairwise(humans)):
        raise DesignError(f"humans by look {humans}: each look has to have more than the last")
    if calibrations[0].moments.size < FEW:
        raise DesignError(
            f"the first look is at {humans[0]} humans ({calibrations[0].moments.size:.3g} "
            f"independent units): at least {FEW} are needed, as the sequence is asymptotic"
        )
    rows = []
    for one in calibrations:
        row = one.table.iloc[list(one.table.index).index("calibrated")]
        estimate, se = (float(v) for v in row[["estimate", "se"]].tolist())
        once = float(stats.t.ppf(1 - alpha / 2, one.df))
        free = lost(one.moments.size, one.tuning.weights)
        wide = float(stats.t.ppf(1 - alpha / 2, free) / stats.norm.ppf(1 - alpha / 2))
        half = wide * always_valid(one.tuning.humans, planned, alpha) * se
        rows.append(
            {
                "humans": one.tuning.humans,
                "estimate": estimate,
                "se": se,
                "lower": estimate - half,
                "upper": estimate + half,
                "once_lower": estimate - once * se,
                "once_upper": estimate + once * se,
            }
        )
    table = pd.DataFrame(rows)
    if half_width is not None:
        done = (table["upper"] - table["lower"]) / 2 <= half_width
        rule = f"the interval reaches no farther than {half_width:g} to either side"
    else:
        done = (table["lower"] > excludes) | (table["upper"] < excludes)
        rule = f"the interval does not hold {excludes:g}"
    stop = int(done.to_numpy().argmax()) if done.any() else None
    return Looks(table, stop, rule, calibrations[-1].target.label)
