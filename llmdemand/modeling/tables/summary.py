"""The table of one fit that people read first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from llmdemand.modeling.estimation.fit import Fit
from llmdemand.modeling.estimation.options import alpha_of
from llmdemand.modeling.tables.table import Cell, Table

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Summary", "summary"]


@dataclass(frozen=True, repr=False)
class Summary(Table):
    """Facts of a fit, and its terms; see `Table` for its forms."""

    @property
    def tables(self) -> tuple[pd.DataFrame, pd.DataFrame]:
        """The facts, a line each, and the terms with all digits."""
        import pandas as pd

        return pd.DataFrame({"fact": list(self.above)}), self.frame


def summary(
    fit: Fit, alpha: float | None = None, *, level: float | None = None, about: str = ""
) -> Summary:
    """Facts and terms of a fit.

    Parameters
    ----------
    fit : Fit
        A fit.
    alpha, level : float, optional
        See `Fit.conf_int`.
    about : str
        A line to begin with.

    Examples
    --------
    >>> import pandas as pd
    >>> from llmdemand.modeling.models.logit import fraclogit
    >>> df = pd.DataFrame({"belief": [.9, .7, .2, .8, .4, .1], "price": [1, 2, 3, 1, 2, 3]})
    >>> print(summary(fraclogit("belief ~ price", df)).to_text())
    Fractional logit (quasi-likelihood) of belief
    observations 6 (left out 0)   log-likelihood -3.0722   pseudo R2 0.2607
    covariance HC1, small-sample factor n/(n-1), normal law, 95 % intervals
    <BLANKLINE>
           Estimate  Std. Error  t value    Pr(>|t|)    lower    upper
    const    3.5752     0.54064    6.613  3.7656e-11   2.5156   4.6349
    price    -1.738     0.22307  -7.7914  6.6272e-15  -2.1753  -1.3008
    """
    law = "" if fit.clusters is not None else ", normal law"
    shown = f", {100 * (1 - alpha_of(alpha, level)):g} % intervals"
    above = [about] if about else []
    above += [
        fit.title,
        f"observations {fit.nobs:.12g} (left out {fit.dropped})   "
        f"log-likelihood {fit.llf:.4f}   pseudo R2 {fit.prsquared:.4f}",
        f"covariance {fit.vcov}, small-sample factor {fit.ssc}{law}{shown}",
    ]
    if fit.weighting != "none":
        above.append(f"weights {fit.weighting}")
    if fit.clusters is not None:
        above.append(f"clusters {fit.clusters}, t with {fit.df:.0f} degrees of freedom")
    if fit.separated:
        above.append("SEPARATED: the maximum does not exist; infinite estimates are shown as inf")
    above += [f"note: {note}" for note in fit.notes]
    numbers = fit.tidy(alpha, level=level)
    rows = [
        (str(term), [Cell(f"{v:.5g}") for v in row])
        for term, row in zip(numbers.index, numbers.to_numpy(), strict=True)
    ]
    return Summary(list(numbers.columns), [rows], above, numbers=numbers, ruled=False)
