"""How tastes differ between respondents: the law of a mixed logit, and each one's own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Unpack

import numpy as np

from llmdemand.errors import UsageError, choose, nearest
from llmdemand.modeling.arrays import Array
from llmdemand.modeling.estimation.fit import Fit
from llmdemand.modeling.likelihood.kernels import Numbers
from llmdemand.modeling.quantities.intervals import Drawn, infer
from llmdemand.modeling.quantities.quantity import COLOURS, Quantity
from llmdemand.modeling.situations.panels import SpreadPanels
from llmdemand.modeling.substitution.laws import Law
from llmdemand.modeling.substitution.mixed import MixedKernel, MixedPanels
from llmdemand.modeling.substitution.moments import (
    covariances,
    density,
    described,
    linked,
    moments,
)
from llmdemand.modeling.verbatim import verbatim

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

__all__ = ["individual", "plot_law", "random_coefficients"]

What = Literal["moments", "covariances", "correlations"]


def _law(fit: Fit) -> Law:
    assert isinstance(fit.kernel, MixedKernel)
    return fit.kernel.law


def random_coefficients(fit: Fit, what: What = "moments", **drawn: Unpack[Drawn]) -> Quantity:
    """The law of the coefficients that vary, with standard errors.

    Parameters
    ----------
    fit : MixedResults
        A mixed logit.
    what : str
        ``moments``: mean, median and standard deviation of each coefficient itself (of a
        lognormal one not of its logarithm), and the share of people in whom it is below zero.
        ``covariances`` and ``correlations``: of correlated coefficients, from their Cholesky
        factor. In willingness-to-pay space all are of the willingness to pay.
    **drawn
        See `llmdemand.modeling.quantities.responses.shares`.

    Returns
    -------
    Quantity
        Closed forms; one row per number.

    Raises
    ------
    UsageError
        For an unknown `what`; for correlations of coefficients that are independent.

    Notes
    -----
    Of a lognormal coefficient ``+-exp(m + s z)``: mean ``+-exp(m + s^2/2)``, median ``+-exp(m)``,
    standard deviation ``exp(m + s^2/2) (exp(s^2) - 1)^(1/2)`` (Train 2009, section 6.5).
    """
    import pandas as pd

    choose(what, What, "what")
    law = _law(fit)
    if what == "moments":
        keys = pd.DataFrame(described(law), columns=["coefficient", "law", "statistic"])
        return infer(
            fit,
            lambda b: moments(law, b),
            name="random coefficients",
            keys=keys,
            rule="over the law of tastes",
            unit="",
            notes=_units(law),
            drawn=drawn,
            shares=np.asarray(keys["statistic"] == "share below zero"),
        )
    pairs = linked(law)
    if not pairs:
        raise UsageError(
            f"{what}: the coefficients vary independently in this model: fit with correlated=True"
        )

    def value(b: Numbers) -> Numbers:
        return covariances(law, b, correlations=what == "correlations")

    return infer(
        fit,
        value,
        name=f"{what} of random coefficients",
        keys=pd.DataFrame(
            [(law.terms[a], law.terms[b]) for a, b in pairs], columns=["coefficient", "with"]
        ),
        rule="over the law of tastes",
        unit="",
        notes=_units(law),
        drawn=drawn,
    )


def _units(law: Law) -> list[str]:
    if law.money is None:
        return []
    return [f"in units of {law.terms[law.money]}: the willingness to pay"]


def individual(fit: Fit) -> pd.DataFrame:
    """Mean and standard deviation of each respondent's tastes, given what they chose.

    ``E[beta | choices] = sum_s beta_s P(choices | beta_s) / sum_s P(choices | beta_s)`` over the
    draws of the respondent (Revelt & Train 2000; Train 2009, chapter 11), at the estimates. The
    means vary less between respondents than tastes do: what few choices do not tell is drawn
    towards the mean of all. In willingness-to-pay space they are willingnesses to pay.

    Parameters
    ----------
    fit : MixedResults
        A mixed logit.

    Returns
    -------
    pandas.DataFrame
        A row for each respondent, in the order of their ids (NaN for those of a fit in passes who
        are counted 0 times); columns ``price``, ``sd(price)``
        for each coefficient that varies.

    Raises
    ------
    UsageError
        For a pairwise likelihood, which has no probability of all that a respondent chose.
    """
    import pandas as pd

    if not isinstance(fit.data, MixedPanels | SpreadPanels) or fit.data.paired:
        raise UsageError(
            "individual tastes are given the probability of all that a respondent chose, which a "
            "pairwise likelihood has not: fit with likelihood='sequence'"
        )
    law = _law(fit)
    mean, spread = fit.data.posterior(np.asarray(fit.params, np.float64))
    return pd.DataFrame(
        {
            name: values[:, k]
            for k in law.random
            for name, values in ((law.terms[k], mean), (f"sd({law.terms[k]})", spread))
        }
    )


def plot_law(fit: Fit, coefficient: str | None = None, ax: Axes | None = None) -> Axes:
    """Draw the law of a coefficient over the individual means of the respondents.

    Parameters
    ----------
    fit : MixedResults
        A mixed logit.
    coefficient : str, optional
        A term whose coefficient varies; the first one by default.
    ax : matplotlib Axes, optional
        Where to draw.

    Raises
    ------
    UsageError
        For a coefficient that does not vary.
    """
    law = _law(fit)
    known = [law.terms[k] for k in law.random]
    name = known[0] if coefficient is None else coefficient
    if name not in known:
        raise UsageError(
            f"{name!r} is no coefficient that varies{nearest(name, known)}: use {', '.join(known)}"
        )
    if ax is None:
        from matplotlib import pyplot as plt

        ax = plt.subplots(layout="constrained")[1]
    params, k = np.asarray(fit.params, np.float64), law.terms.index(name)
    low, high = _range(law, params, k)
    if isinstance(fit.data, MixedPanels):
        means = fit.data.posterior(params)[0][:, k]
        low, high = min(low, float(means.min())), max(high, float(means.max()))
        ax.hist(
            means,
            bins=30,
            range=(low, high),  # however little the means differ, beside the law
            weights=fit.data.scale,
            density=True,
            color=COLOURS[0],
            alpha=0.4,
            label="individual means, given the answers",
        )
    at = np.linspace(low, high, 400)
    ax.plot(at, density(law, params, k, at), color=COLOURS[1], label=f"{law.laws[k]} law")
    if low <= 0 <= high:
        ax.axvline(0, color="k", lw=0.6)
    money = "" if law.money in (None, k) else "willingness to pay for "
    ax.set(xlabel=f"{money}{name}", ylabel="density", title=f"taste for {name}")
    ax.set_ylim(0, 1.25 * ax.get_ylim()[1])  # the legend covers nothing
    ax.legend(frameon=False, fontsize=8)
    return verbatim(ax)


def _range(law: Law, params: Array, k: int) -> tuple[float, float]:
    """Where nearly all of a law lies."""
    rows = [row[0] == law.terms[k] for row in described(law)]
    mean, middle, sd = (float(v) for v in moments(law, params)[rows][:3])
    width = 3 * max(sd, 1e-9 * abs(mean))
    if law.laws[k].startswith("lognormal"):
        far = middle + float(np.sign(middle)) * width
        return min(0.0, far), max(0.0, far)
    return mean - width, mean + width
