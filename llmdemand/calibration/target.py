"""What a calibration is tuned to: one number of a fitted demand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from llmdemand.errors import DesignError, UsageError, choose
from llmdemand.modeling.arrays import Array
from llmdemand.modeling.quantities import responses, worth
from llmdemand.modeling.quantities.intervals import law_of
from llmdemand.modeling.quantities.quantity import Quantity
from llmdemand.modeling.sample.designs import Design

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Target", "TargetName"]

TargetName = Literal["price", "share", "elasticity", "wtp"]
_LABEL = {
    "price": "price coefficient",
    "share": "share",
    "elasticity": "own-price elasticity",
    "wtp": "willingness to pay",
}


@dataclass(frozen=True)
class Target:
    """One quantity of a demand model.

    Attributes
    ----------
    name : str
        ``price`` (the coefficient), ``share``, ``elasticity``, ``wtp``.
    at : float or None
        Price at which a share or an elasticity is taken; None averages over the design.
    price : str
        The price column.
    alternative : str or None
        Whose share or elasticity.
    attribute : str or None
        What is paid for, in a conditional logit.
    """

    name: TargetName = "price"
    at: float | None = None
    price: str = "price"
    alternative: str | None = None
    attribute: str | None = None

    @classmethod
    def of(
        cls,
        name: str,
        at: float | None,
        price: str,
        alternative: str | None,
        attribute: str | None,
        design: Design,
        terms: list[str],
    ) -> Target:
        """A target that the model has.

        Raises
        ------
        UsageError
            For an unknown name, or one that needs more.
        DesignError
            If the model has no such price or alternative.
        """
        choose(name, TargetName, "target")
        if name == "price" and price not in terms:
            raise DesignError(
                f"no coefficient {price!r} among {', '.join(terms)}: name the price column with "
                "price=..., or take target='elasticity', which any form of the price has"
            )
        if at is not None and name in ("price", "wtp"):
            raise UsageError(f"at={at:g} is for target='share' or 'elasticity'")
        if design.outside:
            alternative = design.alternatives[0]
        elif name in ("share", "elasticity"):
            if alternative not in design.alternatives:
                raise UsageError(
                    f"target={name!r} in a conditional logit needs focal=...: one of "
                    f"{', '.join(design.alternatives)}"
                )
        elif name == "wtp" and attribute is None:
            raise UsageError(
                "target='wtp' in a conditional logit needs attribute=...: a term, or an alternative"
            )
        return cls(name, at, price, alternative, attribute)  # type: ignore[arg-type]

    @property
    def label(self) -> str:
        """In words.

        >>> Target("elasticity", 35.0).label
        'own-price elasticity at 35'
        """
        words = _LABEL[self.name]
        if self.name == "wtp":
            paid = self.attribute
            words = "indifference price" if paid is None else f"{words} for {paid}"
        if self.name in ("share", "elasticity"):
            words += " over the design" if self.at is None else f" at {self.at:g}"
        return words

    def quantity(self, fit: Any, alpha: float = 0.05) -> Quantity:
        """Estimate, standard error and interval of a fit."""
        if self.name == "price":
            return _coefficient(fit, self.price, alpha)
        common: dict[str, Any] = {"price": self.price, "alpha": alpha}
        if self.name == "wtp":
            return worth.willingness_to_pay(fit, self.attribute, **common)
        whose = self.price if fit.design.outside else self.alternative
        at = None if self.at is None else {whose: self.at}
        ask = responses.shares if self.name == "share" else responses.elasticity
        return ask(fit, at, alternative=self.alternative, **common)

    def gradient(self, fit: Any) -> Array:
        """Derivatives by the coefficients, (K,), at a fit."""
        found = self.quantity(fit).gradient
        assert found is not None  # no draws were asked for
        return np.asarray(found[0])


def _coefficient(fit: Any, name: str, alpha: float) -> Quantity:
    from scipy import stats

    value, se = float(fit.params[name]), float(np.sqrt(fit.cov.loc[name, name]))
    half = float(stats.t.ppf(1 - alpha / 2, fit.df)) * se
    table = _table(value, se, value - half, value + half)
    said = f"{100 * (1 - alpha):g} %, {law_of(fit.df)}"
    slope = np.asarray(fit.params.index == name, np.float64)[None, :]
    unit = f"log-odds per unit of {name}"
    return Quantity("price coefficient", table, "none", said, unit, gradient=slope)


def _table(*values: float) -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame([dict(zip(("estimate", "se", "lower", "upper"), values, strict=True))])
