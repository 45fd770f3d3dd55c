"""Tests of hypotheses on fitted logits: Wald and likelihood ratio."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from llmdemand.errors import DesignError, UsageError
from llmdemand.modeling.arrays import Array
from llmdemand.modeling.estimation.fit import Fit, Fitted, fit_of, need_likelihood
from llmdemand.modeling.inference.nesting import (
    aligned,
    differing_sample,
    placed,
    without,
    without_nests,
)
from llmdemand.modeling.inference.restrictions import Hypothesis, restrictions
from llmdemand.modeling.likelihood.cases import Cases
from llmdemand.modeling.likelihood.cells import Cells
from llmdemand.modeling.optimum.newton import newton
from llmdemand.modeling.printed import Printed, with_notes
from llmdemand.modeling.substitution.latent import ClassPanels
from llmdemand.modeling.substitution.mixed import MixedKernel
from llmdemand.modeling.substitution.nested import NestedCases
from llmdemand.modeling.variance.noise import Quiet, refuse_quiet

__all__ = ["TestResult", "iid_of_fractions", "lr_test", "quadratic_test", "wald_test"]


@dataclass(frozen=True, repr=False)
class TestResult(Printed):
    """What a test says.

    Attributes
    ----------
    name : str
        Which test.
    statistic : float
        F or chi-squared, as `law` says.
    df : float or (float, float)
        Degrees of freedom; numerator and denominator for F.
    pvalue : float
        Probability under the hypothesis of a statistic at least as large.
    law : str
        The reference law.
    hypothesis : str
        What was tested.
    notes : tuple of str
        What the reader should know.

    Examples
    --------
    >>> print(TestResult("Wald test", 4.0, 1.0, 0.0455, "chi-squared(1)", "price = 0"))
    Wald test of price = 0
    chi-squared(1) = 4, p = 0.0455
    """

    __test__: ClassVar[bool] = False  # no test of the test suite

    name: str
    statistic: float
    df: float | tuple[float, float]
    pvalue: float
    law: str
    hypothesis: str
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        p = f"p = {self.pvalue:.3g}" if self.pvalue > 0 else "p < 1e-300"
        lines = [f"{self.name} of {self.hypothesis}", f"{self.law} = {self.statistic:.5g}, {p}"]
        return with_notes(lines, self.notes)


def wald_test(fit: Fitted, hypothesis: Hypothesis) -> TestResult:
    """Wald test of linear hypotheses on the coefficients.

    Parameters
    ----------
    fit : LogitResults or Demand
        A fit, with whatever covariance it was made.
    hypothesis : str, list of str, array, or (R, r)
        See `restrictions`.

    Returns
    -------
    TestResult
        F with q and G - 1 degrees of freedom where there are clusters, else chi-squared with q.

    Raises
    ------
    UsageError
        For what is no hypothesis on these terms.
    DesignError
        If restrictions repeat or contradict each other; if estimates are infinite; if the
        covariance is singular in the tested directions (no more clusters than restrictions)
        or not positive (two-way clusters); if some combination of the restrictions has no
        noise (`Fit.quiet`), which is named.

    Notes
    -----
    ``W = (R b - r)' (R V R')^-1 (R b - r)`` (Wald 1943). With clusters ``F = W / q`` on
    (q, G - 1) degrees of freedom, the law of Stata's and fixest's tests after clustering;
    for q = 1 it is the square of t.

    Examples
    --------
    >>> import pandas as pd
    >>> from llmdemand.modeling.models.logit import fraclogit
    >>> df = pd.DataFrame({"belief": [.9, .7, .2, .8, .4, .1], "price": [1, 2, 3, 1, 2, 3]})
    >>> print(wald_test(fraclogit("belief ~ price", df, vcov="HC0"), "price = -1.5"))
    Wald test of price = -1.5
    chi-squared(1) = 1.3665, p = 0.242
    """
    found = fit_of(fit)
    terms = [str(t) for t in found.params.index]
    matrix, value, text = restrictions(terms, hypothesis)
    if found.separated:
        raise DesignError(
            f"{found.outcome}: the data are separated and estimates infinite, so there is no Wald "
            "test; fit with separation='firth', or compare likelihoods with lr_test"
        )
    away = matrix @ found.params.to_numpy() - value
    test = quadratic_test(matrix, away, found.cov.to_numpy(), found.df, found.quiet, terms)
    return TestResult("Wald test", *test, text, iid_of_fractions(found))


def iid_of_fractions(found: Fit) -> tuple[str, ...]:
    """A note where the covariance is wrong."""
    if found.fractional and found.asked.kind == "iid":
        return ("the iid covariance is wrong for fractions: refit with vcov='HC1' or clusters",)
    return ()


def quadratic_test(
    matrix: Array,
    away: Array,
    cov: Array,
    df: float,
    quiet: Sequence[Quiet] = (),
    terms: Sequence[str] = (),
) -> tuple[float, float | tuple[float, float], float, str]:
    """Statistic, degrees of freedom, p-value and law of ``away' (R V R')^-1 away``.

    Restrictions of which some combination has no noise (`quiet`) are refused, by `terms`.
    """
    from scipy import stats

    variance = np.diag(cov)
    used = matrix.any(axis=0)
    if not np.isfinite(cov).all() or (variance[used] < 0).any():
        raise DesignError(
            "the covariance holds negative or unknown variances, so there is no test: "
            "use another covariance, such as clusters one way"
        )
    scale = np.where(variance > 0, np.sqrt(np.abs(variance)), 1.0)
    turned = matrix * scale
    length = np.linalg.norm(turned, axis=1)
    if (length == 0).any():
        raise DesignError("a restriction holds no coefficient: leave it out")
    turned, away = turned / length[:, None], away / length
    q = len(turned)
    rank = int(np.linalg.matrix_rank(turned, tol=1e-9))
    if rank < q:
        # In the null space of R' the right-hand sides must agree too.
        left = np.linalg.svd(turned)[0][:, rank:]
        agree = np.abs(left.T @ away).max() < 1e-9 * max(1.0, np.abs(away).max())
        raise DesignError(
            f"{q} restrictions of which {rank} are independent: "
            + ("some repeat the others" if agree else "they contradict each other")
            + "; leave out the redundant ones"
        )
    if q <= df:  # else it is the clusters that are too few
        refuse_quiet(quiet, matrix, terms)
    middle = turned @ (cov / np.outer(scale, scale)) @ turned.T
    values = np.linalg.eigvalsh(middle)
    if not values[0] > 1e-11 * max(1.0, values[-1]):
        why = (
            f"with {df + 1:g} clusters at most {df:g} restrictions can be tested at once"
            if np.isfinite(df) and q > df
            else "the outcome may hold no noise, or two-way clusters give a matrix that is not "
            "positive"
        )
        raise DesignError(
            f"the covariance is singular in the {q} tested directions: {why}; test fewer at "
            "once, or use another covariance"
        )
    w = float(away @ np.linalg.solve(middle, away))
    if np.isfinite(df):
        return w / q, (q, df), float(stats.f.sf(w / q, q, df)), f"F({q}, {df:g})"
    return w, q, float(stats.chi2.sf(w, q)), f"chi-squared({q})"


def lr_test(restricted: Fitted, full: Fitted) -> TestResult:
    """Likelihood-ratio test of a model against a larger one that contains it.

    Parameters
    ----------
    restricted, full : LogitResults or Demand
        Two fits to one sample; both plain, or both Firth's.

    Returns
    -------
    TestResult
        Chi-squared, with the number of coefficients that the full model has more.

    Raises
    ------
    UsageError
        For fractional outcomes, clusters, sampling weights or different numbers of latent
        classes, where the statistic has no chi-squared law; for fits in the wrong order, or one
        with Firth's penalty and one without.
    DesignError
        If outcome or sample differ, or the regressors of the restricted model are no
        combinations of those of the full one.

    Notes
    -----
    ``LR = 2 (llf_full - llf_restricted)`` (Wilks 1938). It supposes independent observations
    and a true likelihood; a robust covariance plays no part in it. With Firth's penalty both
    likelihoods are penalised by the full model's information and the restricted one is
    maximised anew within the full model (Heinze & Schemper 2002; R's logistf), because
    penalties of models of different size cannot be compared.

    Examples
    --------
    >>> import pandas as pd
    >>> from llmdemand.modeling.models.logit import logit
    >>> df = pd.DataFrame({"choice": [1, 1, 0, 1, 0, 0, 1, 0], "price": [1, 1, 1, 2, 2, 3, 3, 3]})
    >>> print(lr_test(logit("choice ~ 1", df), logit("choice ~ price", df)))
    Likelihood-ratio test of price = 0
    chi-squared(1) = 0.6796, p = 0.41
    note: it supposes independent observations; the HC1 covariance plays no part
    """
    from scipy import stats

    small, large = fit_of(restricted), fit_of(full)
    counts = [f.data.classes if isinstance(f.data, ClassPanels) else 1 for f in (small, large)]
    if counts[0] != counts[1]:
        raise UsageError(
            f"models of {counts[0]} and {counts[1]} classes: with fewer classes some coefficients "
            "mean nothing, so the likelihood ratio has no chi-squared law; choose the number of "
            "classes with class_numbers, by BIC and by held-out log score"
        )
    for found in (small, large):
        need_likelihood(found, "a likelihood ratio")
    if small.firth != large.firth:
        raise UsageError(
            "one fit has Firth's penalty and the other has not: fit both with "
            "separation='firth', or both without"
        )
    if why := differing_sample(small, large):
        raise DesignError(f"no test between {why}: fit both models to one outcome and sample")
    q = len(large.params) - len(small.params)
    if q <= 0:
        raise UsageError(
            f"the restricted model has {len(small.params)} coefficients and the full one "
            f"{len(large.params)}: give the smaller model first, lr_test(restricted, full)"
        )
    notes, text = [], ""
    if isinstance(large.data, Cells | Cases) and not isinstance(small.data, Cells | Cases):
        raise DesignError(
            f"a {small.kind.lower()} does not lie within a {large.kind.lower()}: compare them with "
            "compare_models"
        )
    if not isinstance(large.data, Cells | Cases):
        nested = isinstance(large.data, NestedCases)
        text = without_nests(small, large) if nested else _left_out(small, large)
        if nested and " = 1" in text:
            notes.append(
                "a dissimilarity may exceed 1, so that 1 is no edge; against values below 1 alone "
                "the p-value of a single one is half of this where it is below 1"
            )
        if re.search(r"(sd|spread)\(|chol\((.+), \2\)", text):
            notes.append(
                "a spread of zero is the edge of what is possible: the p-value is too large, at "
                "most by half for one spread"
            )
        statistic = 2 * (large.llf - small.llf)
    elif large.firth:
        z, _, inside, _ = placed(small, large.data, aligned(small, large))
        ends = [newton(z, firth=True, start=np.zeros(z.size), free=free) for free in (None, inside)]
        if not all(end.converged for end in ends):
            raise DesignError(
                "a penalised likelihood did not reach its maximum: are regressors nearly collinear?"
            )
        statistic = 2 * (ends[0].objective - ends[1].objective)
        notes.append("both likelihoods are penalised by the full model's information")
    else:
        placed(small, large.data, aligned(small, large))
        statistic = 2 * (large.llf - small.llf)
    for found, which in ((small, "restricted"), (large, "full")):
        if found.separated:
            notes.append(
                f"the {which} model is separated: its likelihood is a limit that no estimate "
                "attains, and the chi-squared law is a poor guide; compare Firth's fits"
            )
    if large.vcov != "iid" or small.vcov != "iid":
        name = large.vcov if large.vcov != "iid" else small.vcov
        notes.append(f"it supposes independent observations; the {name} covariance plays no part")
    if statistic < -1e-6 * (1 + abs(large.llf)):
        notes.append(
            f"the full model's log-likelihood is lower, by {-statistic / 2:.3g}, so that it has "
            "not the restricted one within it (a coefficient of the other sign than its law), or "
            "its maximum or its simulation is poor: read nothing from this test"
        )
    statistic = max(0.0, statistic)
    return TestResult(
        "Penalised likelihood-ratio test" if large.firth else "Likelihood-ratio test",
        statistic,
        q,
        float(stats.chi2.sf(statistic, q)),
        f"chi-squared({q})",
        text or without(small, large),
        tuple(notes),
    )


def _left_out(small: Fit, large: Fit) -> str:
    """What a mixed logit has more than a model that lies within it, by names."""
    more = list(large.params.index)
    if isinstance(small.kernel, MixedKernel) and isinstance(large.kernel, MixedKernel):
        one, two = small.kernel.law, large.kernel.law
        pairs = zip(one.terms, one.laws, strict=True)
        known = dict(zip(two.terms, two.laws, strict=True))
        if one.money != two.money or any(
            law not in ("fixed", known.get(term, law)) for term, law in pairs
        ):
            raise DesignError(
                "the models have other laws of tastes, or are of other spaces, so that neither "
                "lies within the other: compare them with compare_models"
            )
    # A Cholesky factor with nothing off its diagonal has the standard deviations on it, and a
    # lognormal coefficient without spread is one that does not vary.
    whole = {re.sub(r"^chol\((.+), \1\)$", r"sd(\1)", t): t for t in more}
    whole |= {re.sub(r"^mean\(ln -?(.+)\)$", r"\1", t): t for t in more if t.startswith("mean(")}
    terms = [whole.get(t, t) for t in small.params.index]
    strange = [t for t in terms if t not in more]
    if strange:
        raise DesignError(
            f"the restricted model has {', '.join(map(repr, strange))}, which the full one has "
            "not: it does not lie within it; compare them with compare_models"
        )
    return ", ".join(f"{t} = 0" for t in more if t not in terms)
