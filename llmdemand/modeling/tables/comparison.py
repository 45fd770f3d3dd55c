"""Fitted models side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from llmdemand.errors import UsageError
from llmdemand.modeling.estimation.fit import Fit, Fitted, fit_of
from llmdemand.modeling.inference.nesting import differing_sample
from llmdemand.modeling.likelihood.cases import Cases
from llmdemand.modeling.likelihood.cells import Cells
from llmdemand.modeling.scoring.scores import scores

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["compare_models"]


def compare_models(*fits: Fitted, names: Sequence[str] | None = None) -> pd.DataFrame:
    """Fit statistics and in-sample scores of several models.

    Parameters
    ----------
    *fits : LogitResults or Demand
        One row each.
    names : sequence of str, optional
        Names of the rows; ``(1)``, ``(2)``, ... by default.

    Returns
    -------
    pandas.DataFrame
        Columns ``outcome, model, terms`` (number of coefficients), ``nobs, llf, mcfadden, aic,
        bic, log_score, brier, rmse, separated, note``. AIC, BIC and log-likelihoods can be
        compared only between models of one outcome on one sample: `note` says which rows
        are not comparable with the first. It also says where likelihoods are
        quasi-likelihoods, where Firth's penalty moved the estimate away from the maximum,
        and why a score is missing.

    Raises
    ------
    UsageError
        Without fits, or with another number of names.

    Examples
    --------
    >>> import pandas as pd
    >>> from llmdemand.modeling.models.logit import logit
    >>> df = pd.DataFrame({"choice": [1, 1, 0, 1, 0, 0, 1, 0], "price": [1, 1, 1, 2, 2, 3, 3, 3]})
    >>> table = compare_models(logit("choice ~ 1", df), logit("choice ~ price", df))
    >>> table["aic"].round(2).tolist()
    [13.09, 14.41]
    """
    import pandas as pd

    if not fits:
        raise UsageError("no model to compare: compare_models(fit, another, ...)")
    found = [fit_of(fit) for fit in fits]
    rows = [f"({k + 1})" for k in range(len(found))] if names is None else list(names)
    if isinstance(names, str) or len(rows) != len(found):
        raise UsageError(f"{len(rows)} names for {len(found)} fits: give one name for each")
    table = [_compared(fit, found[0], str(rows[0])) for fit in found]
    return pd.DataFrame(table, index=pd.Index([str(r) for r in rows], name="name"))


def _compared(fit: Fit, first: Fit, name: str) -> dict[str, Any]:
    notes = []
    if why := differing_sample(first, fit):
        notes.append(f"llf, AIC and BIC not comparable with {name}: {why}")
    if fit.fractional:
        notes.append("quasi-likelihood: AIC and BIC are descriptive")
    if fit.firth:
        notes.append("Firth: likelihood at the penalised estimate, below the maximum")
    assert isinstance(fit.data, Cells | Cases)
    if (fit.data.weight != 1).any():
        notes.append("sampling weights: AIC and BIC have no meaning")
    values = {"log_score": np.nan, "brier": np.nan, "rmse": np.nan}
    if fit.separated:
        notes.append("separated: no estimate, so no predictions to score")
    else:
        own = scores(fit)
        values = {"log_score": own.log_score, "brier": own.brier, "rmse": own.rmse}
    if np.isnan(fit.prsquared):
        notes.append("constant outcome: no McFadden R2")
    return {
        "outcome": fit.outcome,
        "model": fit.kind,
        "terms": len(fit.params),
        "nobs": fit.nobs,
        "llf": fit.llf,
        "mcfadden": fit.prsquared,
        "aic": fit.aic,
        "bic": fit.bic,
        **values,
        "separated": fit.separated,
        "note": "; ".join(notes),
    }
