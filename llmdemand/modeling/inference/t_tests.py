"""Linear hypotheses one by one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from llmdemand.errors import DesignError
from llmdemand.modeling.arrays import Array
from llmdemand.modeling.estimation.fit import Fitted, fit_of
from llmdemand.modeling.estimation.options import alpha_of
from llmdemand.modeling.inference.hypotheses import iid_of_fractions
from llmdemand.modeling.inference.restrictions import Hypothesis, equation, restrictions
from llmdemand.modeling.printed import Printed, with_notes
from llmdemand.modeling.variance.noise import refuse_quiet

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["TTests", "t_test"]


@dataclass(frozen=True, repr=False)
class TTests(Printed):
    """Linear combinations of coefficients, each tested by itself.

    Attributes
    ----------
    hypotheses : tuple of str
        What is tested, one equation each.
    effect, sd : (q,) array
        ``R b`` and its standard errors.
    value : (q,) array
        What `effect` is under the hypothesis.
    df : float
        Degrees of freedom of the t law; infinite for the normal law.
    notes : tuple of str
        What the reader should know.
    """

    __test__: ClassVar[bool] = False  # no test of the test suite

    hypotheses: tuple[str, ...]
    effect: Array
    sd: Array
    value: Array
    df: float
    notes: tuple[str, ...] = ()

    @property
    def tvalue(self) -> Array:
        """``(effect - value) / sd``; NaN without a standard error."""
        with np.errstate(divide="ignore", invalid="ignore"):
            found = (self.effect - self.value) / self.sd
        return np.asarray(np.where(np.isfinite(found), found, np.nan))

    @property
    def pvalue(self) -> Array:
        """Two-sided p-values."""
        from scipy import stats

        return np.asarray(2 * stats.t.sf(np.abs(self.tvalue), self.df))

    def conf_int(self, alpha: float | None = None, *, level: float | None = None) -> Array:
        """Intervals of `effect`, (q, 2); 95 % by default."""
        from scipy import stats

        half = stats.t.ppf(1 - alpha_of(alpha, level) / 2, self.df) * self.sd
        return np.column_stack([self.effect - half, self.effect + half])

    def summary_frame(
        self, alpha: float | None = None, *, level: float | None = None
    ) -> pd.DataFrame:
        """One row per hypothesis, with the columns of `LogitResults.tidy`."""
        import pandas as pd

        interval = self.conf_int(alpha, level=level)
        columns = {
            "Estimate": self.effect,
            "Std. Error": self.sd,
            "t value": self.tvalue,
            "Pr(>|t|)": self.pvalue,
            "lower": interval[:, 0],
            "upper": interval[:, 1],
        }
        return pd.DataFrame(columns, index=list(self.hypotheses))

    @property
    def _line(self) -> str:
        rows = zip(self.hypotheses, self.effect, self.sd, self.pvalue, strict=True)
        return "; ".join(f"{h}: {b:.4g} ({s:.2g}), p = {p:.3g}" for h, b, s, p in rows)

    def __str__(self) -> str:
        law = "normal law" if np.isinf(self.df) else f"t with {self.df:g} degrees of freedom"
        table = self.summary_frame().to_string(float_format=lambda v: f"{v:.5g}")
        return with_notes([f"Tests of linear hypotheses, one by one ({law})", table], self.notes)


def t_test(fit: Fitted, hypothesis: Hypothesis) -> TTests:
    """T tests of linear hypotheses, one by one; `wald_test` tests them together.

    Parameters
    ----------
    fit, hypothesis
        See `llmdemand.modeling.inference.hypotheses.wald_test`.

    Returns
    -------
    TTests
        ``t = (R b - r) / sqrt(R V R')`` row by row: normal, or t with G - 1 degrees of
        freedom where there are clusters.

    Raises
    ------
    UsageError
        For what is no hypothesis on these terms.
    DesignError
        If estimates are infinite, or a hypothesis lies in a direction without noise.

    Examples
    --------
    >>> import pandas as pd
    >>> from llmdemand.modeling.models.logit import fraclogit
    >>> df = pd.DataFrame({"belief": [.9, .7, .2, .8, .4, .1], "price": [1, 2, 3, 1, 2, 3]})
    >>> print(t_test(fraclogit("belief ~ price", df, vcov="HC0"), "price = -1.5"))
    Tests of linear hypotheses, one by one (normal law)
                  Estimate  Std. Error  t value  Pr(>|t|)   lower   upper
    price = -1.5    -1.738     0.20364   -1.169   0.24242 -2.1372 -1.3389
    """
    found = fit_of(fit)
    names = [str(t) for t in found.params.index]
    matrix, value, _ = restrictions(names, hypothesis)
    if found.separated:
        raise DesignError(
            f"{found.outcome}: the data are separated and estimates infinite, so there is no t "
            "test; fit with separation='firth', or compare likelihoods with lr_test"
        )
    refuse_quiet(found.quiet, matrix, names)
    variance = np.einsum("qk,kl,ql->q", matrix, found.cov.to_numpy(), matrix)
    notes = list(iid_of_fractions(found))
    if (variance < 0).any():
        notes.append("a variance is negative: it has no standard error (NaN); cluster one way")
    with np.errstate(invalid="ignore"):
        sd = np.sqrt(variance)
    rows = zip(matrix, value, strict=True)
    return TTests(
        tuple(equation(names, row, float(v)) for row, v in rows),
        matrix @ found.params.to_numpy(),
        sd,
        value,
        found.df,
        tuple(notes),
    )
