"""Score (Lagrange multiplier) tests of terms that a fitted logit does not have."""

from __future__ import annotations

import warnings
from dataclasses import fields, replace
from typing import Any

import numpy as np

from llmdemand.errors import DesignError, UsageError
from llmdemand.modeling.arrays import Array
from llmdemand.modeling.estimation.binary import fit_binary
from llmdemand.modeling.estimation.conditional import fit_conditional
from llmdemand.modeling.estimation.fit import Fit, Fitted, concave, fit_of
from llmdemand.modeling.estimation.multinomial import fit_multinomial
from llmdemand.modeling.estimation.options import Options
from llmdemand.modeling.estimation.regressors import check_differences, check_regressors
from llmdemand.modeling.inference.added_terms import with_terms
from llmdemand.modeling.inference.hypotheses import TestResult, iid_of_fractions, quadratic_test
from llmdemand.modeling.inference.nesting import aligned, placed, without
from llmdemand.modeling.likelihood.cases import Cases
from llmdemand.modeling.likelihood.cells import Cells
from llmdemand.modeling.sample.designs import BinaryDesign, ChoiceDesign, MultinomialDesign
from llmdemand.modeling.variance.covariance import covariance
from llmdemand.modeling.variance.vcov import SSC, Covariance

__all__ = ["score_test"]


def score_test(
    restricted: Fitted,
    added: str | Array,
    data: Any = None,
    **options: Any,
) -> TestResult:
    """Score (Lagrange multiplier) test of terms that a model does not have.

    Parameters
    ----------
    restricted : LogitResults or Demand
        The model without them.
    added : str or array
        Terms in the formula language, ``"round(price, 5)"``, ``"income + C(brand)"``; for
        a conditional logit with parts divided by ``|``. Or columns, (R,) or (R, q), in the
        rows of ``restricted.frame`` (of the arrays for a fit to arrays).
    data : pandas.DataFrame, optional
        The rows that the model was fitted to. They are needed where `added` names columns
        that the model does not read, for a fit keeps no others, or looks at all rows
        (quantile knots).
    **options
        With `data`: what the model was fitted with besides its formula and covariance, such
        as ``weights=``, ``na=``, ``availability=``.

    Returns
    -------
    TestResult
        Chi-squared with as many degrees of freedom as the model would have more
        coefficients; F where there are clusters, as in `wald_test`.

    Raises
    ------
    DesignError
        If the added terms are collinear with the model, the model is separated, `data`
        are not its sample, or they have no noise in a tested direction.
    UsageError
        For Firth's fits, whose scores are not zero, and for columns that `data` must bring.

    Notes
    -----
    With s the full model's score at the restricted estimate, A its information, B the
    covariance of the score and N the tested directions,

        ``d = A^-1 s,  S = (N'd)' [N' A^-1 B A^-1 N]^-1 (N'd)``.

    With ``vcov="iid"``, B = A and it is Rao's ``s' A^-1 s``; otherwise the generalised
    score test (Boos 1992; Wooldridge 2010, section 12.6), valid for fractions and for
    clusters, with the covariance kind and small-sample factor of the restricted fit. The
    full model is never fitted, so it may be one without a maximum. CRV3 and the pairs
    bootstrap are refits and no sandwiches: CRV1, or HC0 without clusters, takes their
    place, and a note says so.

    Examples
    --------
    >>> import pandas as pd
    >>> from llmdemand.modeling.models.logit import logit
    >>> df = pd.DataFrame({"choice": [1, 1, 0, 1, 0, 0, 1, 0], "price": [1, 1, 1, 2, 2, 3, 3, 3]})
    >>> print(score_test(logit("choice ~ 1", df, vcov="iid"), "price", df))
    Score test of price = 0
    chi-squared(1) = 0.66667, p = 0.414
    """
    found = fit_of(restricted)
    if found.firth:
        raise UsageError(
            "a score test needs the maximum of the likelihood itself: fit the restricted model "
            "without Firth's penalty, or use wald_test or lr_test on Firth's fits"
        )
    if found.separated:
        raise DesignError(
            f"{found.outcome}: the restricted model is separated, so it has no estimate to test "
            "at; use lr_test between Firth's fits"
        )
    concave(found, "a score test")
    if options and data is None:
        raise UsageError(f"{', '.join(options)}: options go with data=, which is missing")
    if isinstance(added, str) and data is not None:
        full = _refitted(found, added, data, options)
        names = [str(t) for t in full.params.index]
        larger, x, text = concave(full, "a score test"), aligned(found, full), without(found, full)
    else:
        larger, names = _widened(found, added)
        x = concave(found, "a score test").x
        text = ", ".join(f"{t} = 0" for t in names if t not in found.params.index)
    z, basis, _, away = placed(found, larger, x)
    q = away.shape[1]
    if q == 0:
        raise DesignError(f"{added!r} adds nothing: the model has these regressors already")
    at = basis @ found.params.to_numpy()
    asked, ssc, notes = _sandwich(found)
    information = z.information(at)
    ahead = np.linalg.solve(information, z.gradient(at))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        estimated = covariance(z, at, information, asked, ssc)
    # In the caller's units, for the names of directions that have no noise.
    back = larger.standardised()[1]
    estimated, matrix = estimated.turned(back), np.asarray(np.linalg.solve(back.T, away).T)
    test = quadratic_test(matrix, away.T @ ahead, estimated.cov, found.df, estimated.quiet, names)
    return TestResult("Score test", *test, text, (*notes, *iid_of_fractions(found)))


def _sandwich(found: Fit) -> tuple[Covariance, SSC, tuple[str, ...]]:
    """The fit's covariance, or the sandwich that stands in for one that refits the model."""
    asked = found.asked
    if asked.kind not in ("CRV3", "pairs"):
        return asked, found.asked_ssc, ()
    stead = Covariance("CRV1", asked.columns) if asked.columns else Covariance("HC0")
    note = f"{asked.kind} refits the model: {stead.kind} takes its place in a score test"
    return stead, "stata", (note,)


def _widened(found: Fit, added: str | Array) -> tuple[Cells | Cases, list[str]]:
    """The fit's data with regressors added, and the names of all."""
    data = concave(found, "a score test")
    names = [str(t) for t in found.params.index]
    if isinstance(added, str):
        if found.design is None or found.frame is None:
            raise UsageError(
                "the model was fitted to arrays: give the added regressors as an array too"
            )
        design = with_terms(found.design, added, found.frame)
        x, terms = design.regressors(found.frame).x, list(design.terms)
    else:
        columns = np.asarray(added, np.float64)
        columns = columns[:, None] if columns.ndim == 1 else columns
        if columns.ndim != 2 or len(columns) != len(data.x) or not np.isfinite(columns).all():
            raise UsageError(
                f"added columns have shape {columns.shape}, expected finite numbers of shape "
                f"({len(data.x)}, q), one row for each of the model's data (fit.frame); rows "
                "with equal regressors were merged: to add other columns give text and data="
            )
        x = np.hstack([data.x, columns])
        terms = [*names, *(f"added {k + 1}" for k in range(columns.shape[1]))]
    larger = replace(data, x=x)
    if isinstance(larger, Cases):
        check_differences(larger, larger.scaled(), terms)
    else:
        check_regressors(x, terms, found.nobs)
    return larger, terms


def _refitted(found: Fit, added: str, data: Any, options: dict[str, Any]) -> Fit:
    """The full model on the caller's rows, for its data (its estimate is not used)."""
    design = found.design
    if design is None:
        raise UsageError("the model was fitted to arrays: give the added regressors as an array")
    columns = found.asked.columns
    asked = Options(Covariance("CRV1", columns) if columns else Covariance("HC0"))
    known = {f.name for f in fields(Options)}
    asked = replace(asked, **{k: v for k, v in options.items() if k in known})
    own = {k: v for k, v in options.items() if k not in known}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if isinstance(design, BinaryDesign):
            formula = f"{found.outcome} ~ {design.part.text} + {added}"
            binary = found.kind != "Fractional logit"
            return fit_binary(formula, data, asked, binary=binary, **own)
        own = {"base": design.alternatives[0], **own}
        if isinstance(design, MultinomialDesign):
            formula = f"{found.outcome} ~ {design.part.text} + {added}"
            return fit_multinomial(formula, data, asked, **own)
        assert isinstance(design, ChoiceDesign)
        texts = [t.strip() for t in added.split("|")]
        old = [design.generic.text, design.case.text, design.own.text]
        right = " | ".join(
            f"{o} + {texts[k]}" if k < len(texts) and texts[k] not in ("0", "") else o
            for k, o in enumerate(old)
        )
        own = {"case": design.group, "alternative": design.alternative, **own}
        return fit_conditional(f"{found.outcome} ~ {right}", data, asked, **own)
