"""Whether demand ticks up at round prices, and by how much."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from llmdemand.errors import DesignError, UsageError, nearest
from llmdemand.modeling.arrays import Array
from llmdemand.modeling.estimation.estimate import Source, estimate
from llmdemand.modeling.estimation.fit import Fit, Fitted, fit_of, need_unit_interval
from llmdemand.modeling.estimation.options import Options, alpha_of
from llmdemand.modeling.estimation.regressors import check_regressors
from llmdemand.modeling.inference.added_terms import Both
from llmdemand.modeling.inference.hypotheses import TestResult, wald_test
from llmdemand.modeling.likelihood.cells import Cells, sigmoid
from llmdemand.modeling.printed import Printed
from llmdemand.modeling.quantities.quantity import COLOURS
from llmdemand.modeling.sample.designs import BinaryDesign
from llmdemand.modeling.sample.formula import Part, part
from llmdemand.modeling.verbatim import verbatim

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

__all__ = ["RoundNumberTest", "round_number_test"]


@dataclass(frozen=True, repr=False)
class RoundNumberTest(Printed):
    """Whether demand ticks up (or down) at round prices, and by how much.

    Attributes
    ----------
    test : TestResult
        Wald test that the indicator of round prices has no coefficient.
    fit : Fit
        The model with the indicator.
    price : str
        Column of prices.
    step : float
        Prices that are multiples of it are round.
    log_odds, se : float
        The uptick in log-odds, and its standard error.
    points : pandas.DataFrame
        One row per round price: ``price, n, observed`` (mean outcome), ``fitted``, ``smooth``
        (what the curve without the indicator says), and ``uptick`` in percentage points with
        ``se, lower, upper``.
    shares : pandas.DataFrame
        One row per price: ``price, n, observed, fitted, round``.
    curve : pandas.DataFrame
        ``price, share``: the smooth curve, averaged over the sample's other regressors.
    """

    test: TestResult
    fit: Fit
    price: str
    step: float
    log_odds: float
    se: float
    points: pd.DataFrame
    shares: pd.DataFrame
    curve: pd.DataFrame

    def __str__(self) -> str:
        way = "uptick" if self.log_odds >= 0 else "downtick"
        head = (
            f"Round numbers: {way} of {self.fit.outcome} where {self.price} is a multiple of "
            f"{self.step:g}\nlog-odds {self.log_odds:.4g} (SE {self.se:.4g}, {self.fit.vcov})"
        )
        rows = [
            f"at {r['price']:g}: {100 * r['uptick']:+.2f} percentage points "
            f"({100 * r['lower']:+.2f} to {100 * r['upper']:+.2f})"
            for r in self.points.to_dict("records")
        ]
        return "\n".join([head, *rows, str(self.test)])

    def plot(self, ax: Axes | None = None) -> Axes:
        """Mean outcomes by price, the smooth curve, and round prices marked.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to draw; new axes by default.
        """
        if ax is None:
            from matplotlib import pyplot as plt

            ax = plt.subplots(figsize=(6, 4), layout="constrained")[1]
        blue, vermilion = COLOURS[:2]
        for p in self.points["price"]:
            ax.axvline(p, color="0.85", lw=1, zorder=0)
        ax.plot(self.curve["price"], self.curve["share"], color=blue, label="smooth curve")
        plain = self.shares[~self.shares["round"]]
        ax.plot(plain["price"], plain["observed"], "o", color=blue, ms=5, label="mean outcome")
        at = self.points["price"]
        multiples = f"mean outcome, multiples of {self.step:g}"
        ax.plot(at, self.points["observed"], "s", color=vermilion, ms=6, label=multiples)
        fitted = "fitted with the uptick"
        ax.plot(at, self.points["fitted"], "_", color=vermilion, ms=16, label=fitted)
        ax.set(
            xlabel=self.price,
            ylabel=f"share ({self.fit.outcome})",
            title=f"Round prices: {self.log_odds:+.3g} log-odds, p = {self.test.pvalue:.2g}",
            ylim=(0, 1),
        )
        ax.legend(frameon=False, fontsize=8)
        return verbatim(ax)


def round_number_test(
    fit: Fitted, step: float = 5, *, price: str = "price", alpha: float = 0.05
) -> RoundNumberTest:
    """Test whether demand ticks up at round prices, and say by how much.

    The model is fitted once more with the term ``round(price, step)``, with the same
    covariance; a model that has the term already is used as it is.

    Parameters
    ----------
    fit : LogitResults or Demand
        A binary or fractional logit, by formula.
    step : float
        Multiples of it are round.
    price : str
        Column of prices.
    alpha : float
        One minus the level of the intervals.

    Returns
    -------
    RoundNumberTest

    Raises
    ------
    UsageError
        For models of several alternatives or fits to arrays; for a column that the model
        does not read; for an impossible step or `alpha`.
    DesignError
        If no price is round, or every price is; if prices enter as dummies, which leave
        nothing to the indicator; if the model with the indicator is separated.

    Notes
    -----
    With g the indicator's coefficient and v the log-odds without it, the uptick at a round
    price is the mean of ``F(v + g) - F(v)`` over the sample's observations at that price, F
    the logistic function; its standard error is by the delta method, its interval by the
    t law of the fit. That a round price sticks out of the smooth curve may also say that
    the curve is bent: fit a flexible one (``bs(price, df=4)``) before believing it.

    Examples
    --------
    >>> import pandas as pd
    >>> from llmdemand.modeling.models.logit import fraclogit
    >>> df = pd.DataFrame({"price": [33, 34, 35, 36, 37] * 2,
    ...                    "belief": [.8, .7, .72, .4, .3, .78, .72, .7, .42, .28]})
    >>> found = round_number_test(fraclogit("belief ~ price", df))
    >>> print(str(found).splitlines()[1])
    log-odds 0.6529 (SE 0.04561, HC1)
    """
    found = fit_of(fit)
    alpha = alpha_of(alpha)
    if not (np.isfinite(step) and step > 0):
        raise UsageError(f"step={step:g}: give a positive number, such as 5")
    design, frame = _readable(found, price)
    prices = frame[price].to_numpy(np.float64)
    term = f"round({price if price.isidentifier() else f'`{price}`'}, {step:g})"
    indicator = part(f"0 + {term}", frame)
    is_round = indicator.matrix(frame)[:, 0] == 1
    if is_round.all() or not is_round.any():
        raise DesignError(
            f"{'every' if is_round.all() else 'no'} price of {np.unique(prices).size} between "
            f"{prices.min():g} and {prices.max():g} is a multiple of {step:g}: the test compares "
            "round prices with others; choose another step"
        )
    larger, term = _with_indicator(found, design, indicator)
    test = wald_test(larger, [term])
    k = list(larger.params.index).index(term)
    points, shares = _upticks(larger, prices, is_round, k, alpha)
    return RoundNumberTest(
        test=test,
        fit=larger,
        price=price,
        step=float(step),
        log_odds=float(larger.params.iloc[k]),
        se=float(larger.bse.iloc[k]),
        points=points,
        shares=shares,
        curve=_smooth(larger, frame, price, prices, k),
    )


def _readable(found: Fit, price: str) -> tuple[BinaryDesign, pd.DataFrame]:
    """Design and sample of a fit in which round prices can be tested."""
    need_unit_interval(found, "the round-number test")
    design, frame = found.design, found.frame
    if not isinstance(design, BinaryDesign) or frame is None:
        raise UsageError(
            f"a {found.kind.lower()} fitted "
            + ("to arrays" if design is None else "to several alternatives")
            + ": round prices are tested in a logit of one alternative by formula, such as "
            "fraclogit('belief ~ price', data)"
        )
    if price not in design.variables:
        raise UsageError(
            f"the model does not read {price!r}{nearest(price, design.variables)}: it reads "
            f"{', '.join(design.variables) or 'nothing'}; name the column of prices with price="
        )
    if found.separated:
        raise DesignError(
            f"{found.outcome}: the data are separated without the indicator already: fit with "
            "separation='firth', or collect more runs"
        )
    if any(part.everywhere for part in found.quiet):
        raise DesignError(
            f"{found.outcome} does not vary about the fit: there is no noise to test against"
        )
    return design, frame


def _with_indicator(found: Fit, design: BinaryDesign, indicator: Part) -> tuple[Fit, str]:
    """The fit with the indicator, and the indicator's term in it."""
    (term,) = (t for t in indicator.terms if t != "const")
    squeezed = {re.sub(r"\s", "", t): t for t in design.terms}
    if known := squeezed.get(re.sub(r"\s", "", term)):
        return found, known
    return _estimated(found, replace(design, part=Both.of(design.part, indicator))), term


def _estimated(found: Fit, design: BinaryDesign) -> Fit:
    """The same sample, estimator and covariance with another right-hand side."""
    assert isinstance(found.data, Cells) and found.frame is not None
    x = design.part.matrix(found.frame)
    check_regressors(x, design.terms, found.nobs)
    kind: Any = found.kind
    source = Source(design, found.frame, found.outcome, kind, found.dropped)
    options = Options(found.asked, found.asked_ssc, separation="firth" if found.firth else "raise")
    return estimate(replace(found.data, x=x), design.terms, source, options)


def _upticks(
    fit: Fit, prices: Array, is_round: Any, k: int, alpha: float
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """What the indicator does at each round price, and the shares at every price."""
    import pandas as pd
    from scipy import stats

    data = fit.data
    assert isinstance(data, Cells)
    w, b = data.count * data.weight, np.asarray(fit.params, np.float64)
    x, without = data.x, data.x.copy()
    without[:, k] = 0.0
    up, down = data.shares(b), replace(data, x=without).shares(b)
    slope = (up * (1 - up))[:, None] * x - (down * (1 - down))[:, None] * without
    critical = float(stats.t.ppf(1 - alpha / 2, fit.df))
    points, shares = [], []
    for p in np.unique(prices):
        at = prices == p
        v = w[at] / w[at].sum()
        observed, fitted = float(v @ data.mean[at]), float(v @ up[at])
        row: dict[str, Any] = {"price": float(p), "n": float(data.count[at].sum())}
        row |= {"observed": observed, "fitted": fitted}
        shares.append({**row, "round": bool(is_round[at][0])})
        if is_round[at][0]:
            smooth, gradient = float(v @ down[at]), v @ slope[at]
            se = float(np.sqrt(gradient @ fit.cov.to_numpy() @ gradient))
            gain = fitted - smooth
            row |= {"smooth": smooth, "uptick": gain, "se": se}
            points.append({**row, "lower": gain - critical * se, "upper": gain + critical * se})
    return pd.DataFrame(points), pd.DataFrame(shares)


def _smooth(fit: Fit, frame: pd.DataFrame, price: str, prices: Array, k: int) -> pd.DataFrame:
    """Mean share were every observation offered one price, without the indicator."""
    import pandas as pd

    assert isinstance(fit.design, BinaryDesign)
    w = fit.weights / fit.weights.sum()
    if fit.design.variables == (price,):
        frame, w = frame.iloc[:1], np.ones(1)
    grid = np.unique(np.concatenate([np.linspace(prices.min(), prices.max(), 61), prices]))
    grid = grid if len(grid) <= 200 else np.linspace(prices.min(), prices.max(), 61)
    share = []
    for p in grid:
        rows = fit.design.expand(frame.assign(**{price: p}))
        rows.x[:, k] = 0.0
        share.append(float(w @ sigmoid(rows.utilities(np.asarray(fit.params, np.float64)))))
    return pd.DataFrame({"price": grid, "share": share})
