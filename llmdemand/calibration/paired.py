"""Humans and language-model respondents with a known truth: data on which calibration is tried."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from llmdemand.core.line import OneLine
from llmdemand.errors import UsageError
from llmdemand.modeling.arrays import Array
from llmdemand.modeling.likelihood.cells import Cells, sigmoid
from llmdemand.modeling.optimum.newton import newton

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["PairedPanel", "paired_panel"]


@dataclass(frozen=True, repr=False)
class PairedPanel(OneLine):
    """Simulated humans and beliefs.

    Attributes
    ----------
    humans : pandas.DataFrame
        ``respondent_id, price, choice, income``: one row per human and price.
    beliefs : pandas.DataFrame
        ``respondent_id, price, belief, income``: the LLM as each of the humans, then as further
        respondents.
    const, slope : float
        The logit that humans follow in the mean over respondents, on the prices given: what
        infinitely many humans would be fitted with.
    """

    humans: pd.DataFrame
    beliefs: pd.DataFrame
    const: float
    slope: float

    @property
    def _line(self) -> str:
        humans, beliefs = (f["respondent_id"].nunique() for f in (self.humans, self.beliefs))
        return f"{humans} humans, {beliefs} LLM respondents, slope {self.slope:.4g}"


def paired_panel(
    humans: int = 200,
    llm: int = 1000,
    *,
    prices: Sequence[float] = (30.0, 35.0, 40.0, 45.0),
    slope: float = -0.25,
    indifference: float = 37.0,
    taste: float = 2.0,
    skill: float = 0.8,
    bias: float = 1.0,
    llm_slope: float = -0.1,
    answers: int | None = None,
    runs: int | None = None,
    seed: int = 1,
) -> PairedPanel:
    """Draw humans with tastes, and an LLM that knows part of the taste and is wrong on average.

    A human i says yes at price p with probability ``sigmoid(slope (p - indifference) + taste
    z_i)``, z standard normal. The LLM's belief is ``sigmoid(llm_slope (p - indifference) + bias +
    taste (skill z_i + sqrt(1 - skill^2) e_i))``: it sees the person through a noisy glass of
    quality `skill`, is shifted by `bias` and has a price slope of its own.

    Parameters
    ----------
    humans, llm : int
        n humans and N further LLM respondents.
    prices : sequence of float
        What is asked.
    slope, indifference, taste : float
        Of the humans: per unit of price, price units, log-odds.
    skill : float
        Correlation of what the LLM knows with the taste, in [0, 1]. At 0 it tells nothing.
    bias, llm_slope : float
        Of the LLM.
    answers : int, optional
        Prices that each respondent is asked, in turns, so that every price is asked equally
        often; all by default. Where everybody answers at every price a taste for the product
        cancels from the price coefficient, and an LLM that knows it helps with shares only;
        with one answer each it helps with both.
    runs : int, optional
        Report the mean of so many sampled choices in place of belief.
    seed : int
        Equal seeds give equal data.

    Returns
    -------
    PairedPanel

    Raises
    ------
    UsageError
        For impossible numbers.

    Examples
    --------
    >>> data = paired_panel(humans=50, llm=100, seed=3)
    >>> len(data.humans), len(data.beliefs), round(data.slope, 3)
    (200, 600, -0.154)
    """
    import pandas as pd

    if answers is not None and not 1 <= answers <= len(prices):
        raise UsageError(f"answers={answers}: give 1 to {len(prices)}, the number of prices")
    if humans < 2 or llm < 0 or not 0 <= skill <= 1 or taste < 0 or len(set(prices)) < 2:
        raise UsageError(
            f"humans={humans}, llm={llm}, skill={skill}, taste={taste}, prices={tuple(prices)}: "
            "give at least 2 humans and 2 prices, skill in [0, 1], nothing negative"
        )
    grid = np.asarray(prices, np.float64)
    rng = np.random.default_rng(seed)
    total = humans + llm
    taste_i, noise = rng.standard_normal((2, total))
    seen = skill * taste_i + np.sqrt(1 - skill**2) * noise
    centred = grid - indifference
    truth = sigmoid(slope * centred + taste * taste_i[:humans, None])
    y = (rng.random(truth.shape) < truth).astype(float)
    f = sigmoid(llm_slope * centred + bias + taste * seen[:, None])
    # Covariates that people report: half of the taste shows in income.
    income = np.round(40 + 10 * (taste_i + rng.standard_normal(total)) / np.sqrt(2), 1)
    # Drawn last: the people are the same whether belief or its samples are reported.
    if runs is not None:
        f = rng.binomial(runs, f) / runs
    ids = [f"r{k}" for k in range(total)]
    each = len(grid)
    asked = answers if answers is not None else each
    turn = (np.arange(each) - asked * np.arange(total)[:, None]) % each < asked
    people = pd.DataFrame(
        {
            "respondent_id": np.repeat(ids[:humans], each),
            "price": np.tile(grid, humans),
            "choice": y.ravel(),
            "income": np.repeat(income[:humans], each),
        }
    )
    beliefs = pd.DataFrame(
        {
            "respondent_id": np.repeat(ids, each),
            "price": np.tile(grid, total),
            "belief": f.ravel(),
            "income": np.repeat(income, each),
        }
    )
    people = people[turn[:humans].ravel()].reset_index(drop=True)
    beliefs = beliefs[turn.ravel()].reset_index(drop=True)
    return PairedPanel(people, beliefs, *_marginal(centred, grid, slope, taste))


def _marginal(centred: Array, grid: Array, slope: float, taste: float) -> tuple[float, float]:
    """The logit that is closest to the mean shares: what is estimated."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(80)
    shares = sigmoid(slope * centred[:, None] + taste * nodes) @ (weights / weights.sum())
    # By Newton's method itself: a fit would refuse two prices, and say that nothing varies.
    x = np.column_stack([np.ones(len(grid)), grid])
    data, back = Cells.of_rows(x, shares).standardised()
    const, price = back @ newton(data).params
    return float(const), float(price)
