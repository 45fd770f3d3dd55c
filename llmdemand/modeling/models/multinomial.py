"""Multinomial and conditional logit, with 0/1 or fractional outcomes."""

from __future__ import annotations

from typing import Unpack

from llmdemand.modeling.estimation.multinomial import fit_multinomial
from llmdemand.modeling.estimation.options import Options
from llmdemand.modeling.models.logit import FitOptions
from llmdemand.modeling.models.results import LogitResults
from llmdemand.modeling.sample.sample import Data
from llmdemand.modeling.situations.fits import fit_clogit
from llmdemand.modeling.spelled import spelled

__all__ = ["clogit", "mnlogit"]


@spelled(FitOptions, Options())
def mnlogit(
    formula: str,
    data: Data,
    *,
    base: str | None = None,
    **options: Unpack[FitOptions],
) -> LogitResults:
    """Multinomial logit: regressors of the case, a coefficient for each alternative but the base.

    Parameters
    ----------
    formula : str
        ``"mode ~ income"`` with a column of labels; or ``"belief_a + belief_b + belief_c ~
        price_a"`` with one column of fractions per alternative, which sum to 1 in each row.
    data : table or path
        One row per case, of pandas, polars or pyarrow, or a parquet file.
    base : str, optional
        Alternative whose utility is zero; the first category (of a categorical column, else
        in sorted order) or the first column of fractions by default.
    **options
        See `llmdemand.modeling.models.logit.fraclogit`.

    Returns
    -------
    LogitResults
        Terms are named ``const:boat``, ``income:boat``.

    Raises
    ------
    DesignError
        See `fraclogit`; also for fewer than two alternatives, fractions that do not sum to 1.

    Notes
    -----
    ``P(j) = exp(x'b_j) / sum_k exp(x'b_k)``, b of the base zero (Train 2009, chapter 3). With
    fractions it is the multivariate fractional logit (Mullahy 2015).

    Examples
    --------
    >>> import pandas as pd
    >>> df = pd.DataFrame({"mode": list("abcabcab"), "income": [1, 2, 3, 2, 1, 5, 3, 4]})
    >>> list(mnlogit("mode ~ income", df).params.index)
    ['const:b', 'income:b', 'const:c', 'income:c']
    """
    asked = Options.of(data=data, **options)
    return LogitResults.of(fit_multinomial(formula, data, asked, base=base))


@spelled(FitOptions, Options())
def clogit(
    formula: str,
    data: Data,
    *,
    case: str = "case",
    alternative: str = "alternative",
    base: str | None = None,
    availability: str | None = None,
    **options: Unpack[FitOptions],
) -> LogitResults:
    """Conditional logit: prices and attributes of each alternative, in long format.

    Parameters
    ----------
    formula : str
        ``"choice ~ price + catch | income | wait"``: attributes with one coefficient; then
        regressors of the case, with a coefficient for each alternative but the base, a
        constant included (``| 0`` leaves it out); then attributes with a coefficient for
        each alternative. The outcome is 0/1, or fractions that sum to 1 in each case.
    data : table or path
        One row per case and alternative, in any order, of pandas, polars or pyarrow, or a
        parquet file, or a folder of them; choice sets may differ between cases. Files of more
        than eight million rows stay where they are and are read a million rows at a time, a pass
        for each step: all rows of a case are then in one file, side by side, or that file is read
        at once.
    case, alternative : str
        Columns that name the choice situation and the alternative.
    base : str, optional
        Alternative whose constant is zero; the first category (of a categorical column,
        else in sorted order) by default.
    availability : str, optional
        0/1 column: rows with 0 are not in the choice set.
    **options
        See `llmdemand.modeling.models.logit.fraclogit`; weights and clusters are those of cases.
        ``na="drop"`` leaves out whole cases.

    Returns
    -------
    LogitResults
        Terms are named ``price``, ``const:boat``, ``income:boat``.

    Raises
    ------
    DesignError
        See `fraclogit`; also for outcomes that do not sum to 1 in a case, an alternative twice
        in a case, a regressor of the case that varies within it, a chosen alternative that is
        not available.

    Notes
    -----
    ``P_i(j) = exp(v_ij) / sum_k exp(v_ik)`` over the alternatives of case i (McFadden 1974);
    formulas in the manner of R's mlogit (Croissant 2020).

    Examples
    --------
    >>> import pandas as pd
    >>> df = pd.DataFrame({
    ...     "case": [1, 1, 2, 2, 3, 3, 4, 4], "alternative": list("abababab"),
    ...     "price": [1, 2, 2, 1, 3, 1, 1, 2], "choice": [1, 0, 0, 1, 1, 0, 0, 1]})
    >>> list(clogit("choice ~ price", df).params.index)
    ['price', 'const:b']
    """
    asked = Options.of(data=data, **options)
    return LogitResults.of(
        fit_clogit(
            formula,
            data,
            asked,
            case=case,
            alternative=alternative,
            base=base,
            availability=availability,
        )
    )
