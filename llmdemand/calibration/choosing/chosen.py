"""Whom to interview next, and at which price: probabilities that make the target's error small."""

from __future__ import annotations

from dataclasses import dataclass, field
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

import numpy as np

from llmdemand.calibration.calibrated import CalibratedDemand
from llmdemand.calibration.moments.moments import Moments
from llmdemand.calibration.moments.rectified import logit_data
from llmdemand.calibration.samples.entries import belief_rows
from llmdemand.core.line import OneLine
from llmdemand.core.panel import Panel
from llmdemand.errors import DesignError, UsageError
from llmdemand.modeling.arrays import Array, Codes
from llmdemand.modeling.likelihood.cells import sigmoid
from llmdemand.modeling.optimum.newton import newton
from llmdemand.modeling.sample.sample import codes, column_names, require

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["PROBABILITY", "ChosenSample", "choose_sample", "chosen_or_none"]

#: Column of selection probabilities, for ``calibrate(..., probability=...)``.
PROBABILITY = "probability"


@dataclass(frozen=True, repr=False)
class ChosenSample(OneLine):
    """Whom to interview, with the probability at which each was chosen.

    Attributes
    ----------
    table : pandas.DataFrame
        The rows of the pool that were chosen, with `PROBABILITY`: keep it with the answers.
    probabilities : pandas.Series
        Of every row of the pool.
    gain : float
        Variance of the target if all were equally likely, over that by these probabilities, as the
        pilot expects it.
    target : str
        What it is chosen for.
    """

    table: pd.DataFrame
    probabilities: pd.Series[float] = field(repr=False)
    gain: float
    target: str

    @property
    def _line(self) -> str:
        return self.verdict()

    def verdict(self) -> str:
        """What choosing is expected to bring, in a sentence."""
        n = len(self.table)
        return (
            f"{n:,} interviews chosen for the {self.target} are expected to be worth "
            f"{n * self.gain:,.0f} taken at random from the same pool; calibrate them with "
            f"probability={PROBABILITY!r} and everybody's beliefs"
        )

    def __str__(self) -> str:
        return self.verdict()


def choose_sample(
    pilot: CalibratedDemand,
    pool: pd.DataFrame | Panel,
    humans: int,
    *,
    belief: str = "belief",
    explore: float = 0.2,
    seed: int = 1,
) -> ChosenSample:
    """Choose interviews by the variance that they take off the pilot's target.

    Parameters
    ----------
    pilot : CalibratedDemand
        A calibration on some humans: its target, coefficients and lambda.
    pool : Panel or pandas.DataFrame
        Beliefs of those who may be asked, a row for each respondent and price: each row is a
        possible interview. It is also the population that the estimate will be about.
    humans : int
        Interviews.
    belief : str
        The column of beliefs.
    explore : float
        Share of the probability that is the same for all: what is expected of the pilot may be
        wrong, and small probabilities are large weights.
    seed : int
        Of the draw.

    Returns
    -------
    ChosenSample

    Raises
    ------
    DesignError
        For a pool without the pilot's columns or with missing beliefs.
    UsageError
        For a pilot of choices among several alternatives, impossible numbers.

    Notes
    -----
    An interview at x of a person with belief f adds ``(g'x)^2 v(x, f) / pi`` to the variance, v
    the expected square of ``y - lambda f`` less its mean at x, by a logit of the pilot's answers
    on x and f. It is least at ``pi`` in proportion to ``|g'x| v^(1/2)`` (active inference: Zrnic &
    Candes 2024, arXiv 2403.03208), mixed with equal probabilities, at most 1. Rows are drawn
    systematically from a random order within prices: inclusion probabilities are exact. Whatever
    the pilot thinks, the calibrated estimate is right, as the probabilities are known.

    Examples
    --------
    >>> from llmdemand.calibration.paired import paired_panel
    >>> from llmdemand.calibration.ppi import calibrate
    >>> data = paired_panel(humans=100, llm=300, answers=1, seed=1)
    >>> pilot = calibrate(data.humans, data.beliefs, prompt_chosen_on="nobody")
    >>> fresh = paired_panel(humans=2, llm=1000, seed=2).beliefs
    >>> found = choose_sample(pilot, fresh, 150)
    >>> len(found.table), found.gain > 1
    (150, True)
    """
    moments = pilot.moments
    pairs = moments.pairs
    if not pairs.outside or moments.sampled:
        raise UsageError(
            "choose is for pilots of one outcome by price, with cells: interviews among several "
            "alternatives are planned with llmdemand's designs of choice experiments"
        )
    if not isinstance(explore, Real) or not 0 < float(explore) <= 1:
        raise UsageError(f"explore={explore!r}: give a share above 0, as 0.2")
    rows = belief_rows(pool, pairs.model, pairs.cluster, None, None, []).reset_index(drop=True)
    if not isinstance(humans, Integral) or not 2 <= humans < len(rows):
        raise UsageError(f"humans={humans!r}: give at least 2, and fewer than the pool's rows")
    named = [str(c) for c in pairs.rows.columns]
    require([pairs.cluster, belief, *named], column_names(rows), "of the pool")
    if rows[[pairs.cluster, belief, *named]].isna().any().any():
        raise DesignError("the pool has missing respondents, beliefs or prices: mend it first")
    size = _sizes(pilot, rows, rows[belief].to_numpy(np.float64), named)
    equal = np.full(len(rows), humans / len(rows))
    pi = (1 - explore) * _capped(size, humans) + explore * equal
    rng = np.random.default_rng(seed)
    cell = codes(rows, named)[0] if named else np.zeros(len(rows), np.intp)
    picked = _systematic(pi, np.lexsort((rng.random(len(rows)), cell)), rng)
    import pandas as pd

    every = pd.Series(pi, rows.index, name=PROBABILITY)
    gain = float(np.sum(size**2 / equal) / np.sum(size**2 / pi))
    return ChosenSample(
        rows.iloc[picked].assign(**{PROBABILITY: pi[picked]}), every, gain, pilot.target.label
    )


def _sizes(pilot: CalibratedDemand, rows: pd.DataFrame, f: Array, named: list[str]) -> Array:
    """What each interview would add to the target's error, as a standard deviation."""
    moments: Moments = pilot.moments
    h = moments.pairs.humans
    assert h.y is not None
    own = np.column_stack([moments.regressors(h), h.f])
    # Firth's fit always exists; columns of one scale, as it does not standardise.
    scale = np.maximum(np.abs(own).max(axis=0), 1e-300)
    data = logit_data(own / scale, h.y, h.start, np.ones(len(h.start)), outside=True)
    taught = newton(data, firth=True).params / scale
    x = moments.pairs.design.regressors(rows[named]).x
    chance = sigmoid(np.column_stack([x, f]) @ taught)
    cell = codes(rows, named)[0] if named else np.zeros(len(rows), np.intp)
    left = chance - pilot.lam * f
    mean = np.bincount(cell, left) / np.bincount(cell)
    spread = chance * (1 - chance) + (left - mean[cell]) ** 2
    bread = moments.bread(moments.parts(pilot.lam), np.asarray(pilot.params, np.float64))
    return np.abs(x @ (bread @ pilot.target.gradient(pilot))) * np.sqrt(spread)


def _capped(size: Array, n: int) -> Array:
    """Probabilities in proportion to sizes, at most 1, that sum to n."""
    size = np.maximum(size, 1e-12 * size.max())
    sure = np.zeros(len(size), bool)
    while True:
        left = n - int(sure.sum())
        found = np.where(sure, 1.0, left * size / size[~sure].sum())
        over = (found > 1) & ~sure
        if not over.any():
            return np.asarray(found)
        sure |= over


def _systematic(pi: Array, order: Codes, rng: np.random.Generator) -> Codes:
    """Rows drawn with exactly these probabilities (Madow 1949)."""
    upper = np.cumsum(pi[order])
    n = round(float(upper[-1]))
    points = rng.random() + np.arange(n)
    place = np.searchsorted(upper * (n / upper[-1]), points, side="right")
    return np.sort(order[np.minimum(place, len(order) - 1)])


def chosen_or_none(
    pilot: CalibratedDemand | None, pool: Any, humans: int, seed: int
) -> ChosenSample | None:
    """The choice that goes with a plan.

    Raises
    ------
    UsageError
        Without a pilot.
    """
    if pool is None:
        return None
    if pilot is None:
        raise UsageError("choose=... needs a pilot, which tells whose answers are uncertain")
    return choose_sample(pilot, pool, humans, seed=seed)
