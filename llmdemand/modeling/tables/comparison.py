"""Fitted models side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from llmdemand.modeling.estimation.fit import Fit, Fitted, listed
from llmdemand.modeling.inference.nesting import differing_sample
from llmdemand.modeling.scoring.scores import scores
from llmdemand.modeling.tables.table import Cell, Table

__all__ = ["Comparison", "compare_models"]


class Comparison(pd.DataFrame):
    """A data frame of models that prints as a table: notes below, as wide as the terminal.

    What is cut or computed from it is a plain data frame.
    """

    @property
    def _constructor(self) -> type[pd.DataFrame]:
        return pd.DataFrame

    @property
    def table(self) -> Table:
        """The table for print, with ``to_text()``, ``to_markdown()``, ``to_latex()``."""
        columns = [c for c in self.columns if c != "note"]
        rows = [
            (str(name), [Cell(_shown(row[c])) for c in columns])
            for name, row in zip(self.index, self.to_dict("records"), strict=True)
        ]
        notes = [
            f"{name}: {text}"
            for name, text in self.get("note", pd.Series(dtype=str)).items()
            if text
        ]
        return Table(columns, [rows], notes=notes)

    def __repr__(self) -> str:
        return str(self.table)

    def _repr_html_(self) -> str:
        return self.table.to_html()


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def compare_models(
    *fits: Fitted | Sequence[Fitted], names: Sequence[str] | None = None
) -> Comparison:
    """Fit statistics and in-sample scores of several models.

    Parameters
    ----------
    *fits : LogitResults or Demand
        One row each; or a list of them.
    names : sequence of str, optional
        Names of the rows; ``(1)``, ``(2)``, ... by default.

    Returns
    -------
    Comparison
        A data frame that prints well. Columns ``outcome, model, terms`` (number of
        coefficients), ``nobs, llf, mcfadden, aic, bic, log_score, brier, rmse, separated,
        note``. AIC, BIC and log-likelihoods can be compared only between models of one outcome
        on one sample: `note` says which rows are not comparable with the first. It also says
        where likelihoods are quasi-likelihoods, where Firth's penalty moved the estimate away
        from the maximum, and why a score is missing.

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
    nothing = "no model to compare: compare_models(fit, another, ...)"
    found, rows = listed(fits, names, nothing)
    table = [_compared(fit, found[0], rows[0]) for fit in found]
    return Comparison(table, index=pd.Index(rows, name="name"))


def _compared(fit: Fit, first: Fit, name: str) -> dict[str, Any]:
    notes = []
    if why := differing_sample(first, fit):
        notes.append(f"llf, AIC and BIC not comparable with {name}: {why}")
    if fit.fractional:
        notes.append("quasi-likelihood: AIC and BIC are descriptive")
    if fit.firth:
        notes.append("Firth: likelihood at the penalised estimate, below the maximum")
    if fit.data.weights_vary:
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
