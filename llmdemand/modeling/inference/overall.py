"""A whole model against constants alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from llmdemand.errors import DesignError, UsageError
from llmdemand.modeling.arrays import Array
from llmdemand.modeling.estimation.fit import Fit, need_likelihood
from llmdemand.modeling.likelihood.cases import Cases
from llmdemand.modeling.likelihood.cells import Cells
from llmdemand.modeling.substitution.latent import ClassPanels
from llmdemand.modeling.substitution.smooth import situations

__all__ = ["constants", "df_model", "llr", "llr_pvalue"]


def constants(fit: Fit) -> int:
    """How many constants of alternatives the regressors span.

    One in a binary logit with a constant, or with an indicator for every level of something;
    J - 1 with J alternatives.
    """
    data = situations(fit.data)
    if isinstance(data, Cells):
        if "const" in fit.params.index:
            return 1
        own, flat = data.x, np.ones((len(data.x), 1))
    else:
        alternatives = int(data.labels.max()) + 1
        if sum(str(t).startswith("const:") for t in fit.params.index) == alternatives - 1:
            return alternatives - 1
        dummies = (data.labels[:, None] == np.arange(1, alternatives)).astype(float)
        # Utilities are relative: regressors count less their mean in the case.
        own, flat = (d.standardised()[0].x for d in (data, replace(data, x=dummies)))
    return _rank(own) + _rank(flat) - _rank(np.hstack([own, flat]))


def _rank(x: Array) -> int:
    scale = np.abs(x).max(axis=0)
    r = np.linalg.qr(x / np.where(scale > 0, scale, 1.0), mode="r")
    return int(np.linalg.matrix_rank(r, tol=1e-9 * np.sqrt(len(x))))


def df_model(fit: Fit) -> int:
    """Coefficients less constants: what the model has more than its null model."""
    return len(fit.params) - constants(fit)


def llr(fit: Fit) -> float:
    """Likelihood-ratio statistic against constants alone: ``2 (llf - llnull)``.

    Raises
    ------
    UsageError
        For Firth's estimates, whose likelihood is not at its maximum.
    DesignError
        If the model has no constants, so that it does not contain the null model.
    """
    if fit.firth:
        raise UsageError(
            "Firth's estimates are not at the maximum of the likelihood, so 2 (llf - llnull) is "
            "no likelihood ratio: use lr_test, which penalises both models"
        )
    data = situations(fit.data)
    known = int(data.labels.max()) if isinstance(data, Cases) else 1
    if constants(fit) < known:
        raise DesignError(
            "the model has no constants, so it does not contain the model of constants alone: "
            "compare it with another one by lr_test(restricted, full)"
        )
    return 2 * (fit.llf - fit.llnull)


def llr_pvalue(fit: Fit) -> float:
    """Its p-value, by the chi-squared law with `df_model` degrees of freedom.

    Raises
    ------
    UsageError
        Where the statistic has no such law: fractions, clusters, sampling weights, Firth,
        latent classes.
    DesignError
        See `llr`; for separated data, whose likelihood no estimate attains.
    """
    from scipy import stats

    if isinstance(fit.data, ClassPanels):
        raise UsageError(
            "with one class the coefficients of the others mean nothing, so the likelihood ratio "
            "has no chi-squared law: compare numbers of classes with class_numbers"
        )
    need_likelihood(fit, "a likelihood ratio")
    if fit.separated:
        raise DesignError(
            f"{fit.outcome}: the data are separated, so no estimate attains the likelihood and "
            "the chi-squared law is no guide: fit with separation='firth' and use lr_test"
        )
    return float(stats.chi2.sf(llr(fit), df_model(fit)))
