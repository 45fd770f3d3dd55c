"""Ratings: an ordered logit, and the shares of the highest points."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from llmdemand.errors import DesignError, UsageError
from llmdemand.modeling.arrays import Array
from llmdemand.modeling.numbers.answers import Answers
from llmdemand.modeling.numbers.likelihoods import Ratings, maximum
from llmdemand.modeling.numbers.result import NumberFit, estimated
from llmdemand.modeling.quantities.quantity import Quantity
from llmdemand.modeling.variance.vcov import SSC, parse_vcov

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["RatingDemand", "fit_rating"]


@dataclass(frozen=True, repr=False)
class RatingDemand(NumberFit):
    """Ordered logit of ratings, or of beliefs over them.

    ``P(y <= k) = F(cut_k - x'b)``: a positive coefficient raises ratings. Belief over the points
    weights their log-probabilities; at 0/1 outcomes it is statsmodels' `OrderedModel`, Stata's
    ologit and `MASS::polr`. Cuts are named by the points between which they lie, ``1|2``.

    Attributes
    ----------
    levels : tuple of float
        The points that occur; those that never do have no cut of their own.
    """

    levels: tuple[float, ...] = ()

    kind = "Ordered logit"

    def _facts(self) -> list[str]:
        share = 1 - self.llf / self.llnull
        return [f"log-likelihood: {self.llf:.6g}; pseudo R2: {share:.4g}"]

    def _shares(self, price: float, weights: Array) -> tuple[float, Array]:
        """``sum_k weights_k P(y = k)`` at a price, and its derivatives."""
        from scipy.special import expit

        x, offset, weight = self.data.at(price)
        k = x.shape[1]
        eta, cuts = x @ self.at.params[:k] + offset, self.at.params[k:]
        below = expit(cuts[None, :] - eta[:, None])
        density = below * (1 - below)
        # sum_k w_k P_k = w_J + sum_j (w_j - w_{j+1}) P(y <= j)
        steps = weights[:-1] - weights[1:]
        value = float(weights[-1] + weight @ (below @ steps))
        by_x = -(weight * (density @ steps)) @ x
        return value, np.concatenate([by_x, steps * (weight @ density)])

    def _elasticity(self, price: float, weights: Array) -> tuple[float, Array]:
        """``d log S / d log p`` of ``S = sum_k weights_k P(y = k)``, and its derivatives."""
        from scipy.special import expit

        x, offset, weight = self.data.at(price)
        dx, doffset = self.data.slope(price)
        k = x.shape[1]
        eta, moved = x @ self.at.params[:k] + offset, dx @ self.at.params[:k] + doffset
        below = expit(self.at.params[None, k:] - eta[:, None])
        density, steps = below * (1 - below), weights[:-1] - weights[1:]
        bend = density * (1 - 2 * below)  # of the density, by the cut
        share, by_share = self._shares(price, weights)
        slope = -float((weight * moved) @ (density @ steps))
        by_x = (weight * moved * (bend @ steps)) @ x - (weight * (density @ steps)) @ dx
        by_cuts = -steps * ((weight * moved) @ bend)
        gradient = np.concatenate([by_x, by_cuts])
        return slope / share, gradient / share - slope / share**2 * by_share

    def _asked(
        self, name: str, weights: Array, price: Any, unit: str, scale: str, alpha: float
    ) -> Quantity:
        prices = self.asked(price)
        found = [self._shares(p, weights) for p in prices]
        return self.quantity(name, {"price": prices}, found, unit, scale=scale, alpha=alpha)

    def top_box(
        self, price: float | Sequence[float] | None = None, boxes: int = 2, alpha: float = 0.05
    ) -> Quantity:
        """Share of ratings among the highest points, two of them by default ("top 2 box").

        Parameters
        ----------
        price : float or sequence, optional
            Those of the data by default.
        boxes : int
            How many points.
        alpha : float
            One minus the confidence of the intervals, which are symmetric in log-odds.

        Examples
        --------
        >>> import llmdemand as ld
        >>> panel = ld.simulate(ld.load_study("coffee-intention"), "synthetic", runs=5, seed=1)
        >>> ld.ologit(panel).top_box(6).name
        'share of ratings of 4 and more for aroma'
        """
        values = self.data.values
        if not 1 <= boxes < len(values):
            raise UsageError(f"boxes={boxes}: give 1 to {len(values) - 1}, highest points")
        least = values[len(values) - boxes]
        weights = (np.array(self.levels) >= least).astype(float)
        if weights.all() or not weights.any():
            which = "all" if weights.all() else "none"
            raise DesignError(
                f"{which} of the answers are {least:g} or more: the share has no interval"
            )
        name = f"share of ratings of {least:g} and more for {self.alternative}"
        return self._asked(name, weights, price, "", "logit", alpha)

    def expected(
        self, price: float | Sequence[float] | None = None, alpha: float = 0.05
    ) -> Quantity:
        """Mean rating at these prices, those of the data by default."""
        name = f"mean rating of {self.alternative}"
        return self._asked(name, np.array(self.levels), price, self.data.noun, "plain", alpha)

    def purchases(
        self,
        weights: Mapping[int, float],
        price: float | Sequence[float] | None = None,
        alpha: float = 0.05,
    ) -> Quantity:
        """Share of buyers by your own conversion of ratings into purchases.

        Parameters
        ----------
        weights : mapping of int to float
            Probability of a purchase by rating, such as ``{5: 0.7, 4: 0.3}``; 0 of points that
            are not named. They are yours: stated intentions are no purchases, and what they are
            worth differs between categories. Their own uncertainty is not in the intervals.
        price, alpha
            As in `top_box`.

        Raises
        ------
        UsageError
            For points that are not on the scale, and weights outside [0, 1].
        """
        scale = [int(v) for v in self.data.values]
        wrong = [k for k in weights if k not in scale]
        if not weights or wrong:
            raise UsageError(f"weights are of {list(weights)}: name points of the scale, {scale}")
        if not all(0 <= w <= 1 for w in weights.values()):
            raise UsageError(
                f"weights {dict(weights)} are probabilities of a purchase: give numbers in [0, 1]"
            )
        each = np.array([float(weights.get(int(v), 0.0)) for v in self.levels])
        name = f"share of buyers of {self.alternative}, by the given weights"
        return self._asked(name, each, price, "", "plain", alpha)

    def elasticity(
        self, price: float | Sequence[float] | None = None, boxes: int = 2, alpha: float = 0.05
    ) -> Quantity:
        """Elasticity of the share of the highest points by the price."""
        values = self.data.values
        weights = (np.array(self.levels) >= values[len(values) - boxes]).astype(float)
        prices = self.asked(price)
        found = [self._elasticity(p, weights) for p in prices]
        name = f"price elasticity of the top {boxes} box of {self.alternative}"
        return self.quantity(name, {"price": prices}, found, "% per %", alpha=alpha)

    def plot(self, ax: Axes | None = None, boxes: int = 2) -> Axes:
        """The share of the highest points over the price, with what was answered."""
        from llmdemand.modeling.numbers.figure import curve

        low, high = self.data.prices[[0, -1]]
        drawn = self.top_box(np.linspace(low, high, 50).tolist(), boxes)
        values = self.data.values
        top = self.data.law[:, len(values) - boxes :].sum(axis=1)
        return curve(ax, self.data, top, drawn, f"share of the top {boxes} box")


def fit_rating(data: Answers, vcov: Any, ssc: SSC, cluster: str) -> RatingDemand:
    """The ordered logit of these answers; see `llmdemand.ologit`."""
    terms = tuple(t for t in data.part.terms if t != "const")
    x = data.x[:, [k for k, t in enumerate(data.part.terms) if t != "const"]]
    sums = data.weight @ data.law
    used = sums != 0
    if (sums < 0).any() or used.sum() < 2:
        few = [f"{v:g}" for v, s in zip(data.values, sums, strict=True) if s > 0]
        raise DesignError(
            f"ratings that occur: {', '.join(few) or 'none'}: an ordered logit needs two, and no "
            "point of which corrected belief is negative in sum (then use reading='pivot')"
        )
    levels = data.values[used]
    law = data.law[:, used]
    cumulated = np.cumsum(sums[used])[:-1] / sums.sum()
    cuts = np.log(cumulated) - np.log1p(-cumulated)
    if not np.isfinite(cuts).all() or (np.diff(cuts) <= 0).any():
        cuts = np.arange(len(cuts), dtype=float)
    null = Ratings(x[:, :0], data.offset, data.weight, {}, law)
    llnull = maximum(null, cuts)
    rows = Ratings(x, data.offset, data.weight, {}, law)
    at = maximum(rows, np.concatenate([np.zeros(x.shape[1]), llnull.params]))
    never = [f"{v:g}" for v, u in zip(data.values, used, strict=True) if not u]
    extra = [f"no answer is {', '.join(never)}: no cut of its own"] if never else []
    if vcov is not None and data.outcome == "belief" and parse_vcov(vcov).kind == "iid":
        extra.append(
            "iid standard errors take beliefs for drawn ratings and hide what they gain: use HC1 "
            "or clusters"
        )
    names = (*terms, *(f"{a:g}|{b:g}" for a, b in pairwise(levels)))
    return RatingDemand(
        data=replace(data, constant=False),  # the cuts take its place
        rows=rows,
        at=at,
        estimated=estimated(data, rows, at, vcov, ssc, cluster),
        ssc=ssc,
        terms=names,
        llnull=llnull.llf,
        extra=tuple(extra),
        levels=tuple(float(v) for v in levels),
    )
