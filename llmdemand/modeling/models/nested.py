"""Nested logit, with 0/1 or fractional outcomes."""

from __future__ import annotations

from typing import Unpack

from llmdemand.modeling.estimation.options import Options
from llmdemand.modeling.models.logit import FitOptions
from llmdemand.modeling.models.results import LogitResults
from llmdemand.modeling.sample.sample import Data
from llmdemand.modeling.situations.fits import fit_nlogit
from llmdemand.modeling.spelled import spelled
from llmdemand.modeling.substitution.nests import Dissimilarity, Nests

__all__ = ["nlogit"]


@spelled(FitOptions, Options())
def nlogit(
    formula: str,
    data: Data,
    *,
    nests: Nests,
    dissimilarity: Dissimilarity = None,
    case: str = "case",
    alternative: str = "alternative",
    base: str | None = None,
    availability: str | None = None,
    read: str | None = None,
    count: str | None = None,
    **options: Unpack[FitOptions],
) -> LogitResults:
    """Nested logit: alternatives of a nest are closer substitutes than others.

    Parameters
    ----------
    formula, data, case, alternative, base, availability
        See `llmdemand.modeling.models.multinomial.clogit`.
    nests : mapping
        Alternatives by nest, ``{"diapers": ["pampers", "huggies"]}``. A value may be a mapping
        itself, of nests within the nest, or a list that holds alternatives and mappings.
        Alternatives that are named nowhere are alone under the root.
    dissimilarity : str or mapping, optional
        One for each nest, free (the default); ``"common"``, one for all; or values of some, as
        in ``{"diapers": 0.5}``, the others free. That of a nest of one alternative is fixed at
        1, which changes nothing; asked to be free or common it is refused.
    read : str, optional
        For corrected beliefs, which may leave [0, 1]: the column that says what those of a case
        sum to.
    count : str, optional
        Column of how many equal cases each stands for, beside sampling weights.
    **options
        See `llmdemand.modeling.models.logit.fraclogit`; weights and clusters are those of cases.
        There are no ``HC2``, ``HC3``, ``within`` and ``score`` covariances, and no Firth penalty.

    Returns
    -------
    LogitResults
        Terms are those of `clogit`, then ``dissimilarity(diapers)``, or ``dissimilarity``. Their t
        and p are those of the hypothesis that they are 1: a plain logit. Notes tell the tree,
        dissimilarities that are not consistent with utility maximisation, and whether all
        starts came to one maximum.

    Raises
    ------
    DesignError
        See `clogit`; for separated data; where the likelihood rises as a dissimilarity falls to
        0 or grows without end.
    UsageError
        For nests that are no tree of the alternatives: see
        `llmdemand.modeling.substitution.nests.tree_of`; for an option that it does not have.

    Notes
    -----
    The form that maximises utility (McFadden 1978; Train 2009, chapter 4; Stata's ``nlogit``, R's
    mlogit): ``P(j) = exp(v_j / l) / sum_k exp(v_k / l)`` within a nest of dissimilarity l, whose
    inclusive utility ``I = l log sum_k exp(v_k / l)`` is that of the nest among what stands beside
    it; the root's l is 1. Coefficients are those of ``v``, in units of the root, and errors of
    a nest have the correlation ``1 - l^2``. The l of a nest within a nest is relative to the
    root too, so that 0 < l_inner <= l_outer <= 1 is consistent with utility maximisation; it is
    Biogeme's ``1 / mu``, and Stata's and Greene's dissimilarity in trees of two levels; programs
    that give each level a factor of its own (Daly 1987) report ``l_inner / l_outer``.

    The likelihood is linear in the outcome, so that with fractions ``sum b log s`` is a
    quasi-likelihood: consistent for the mean of beliefs, with the sandwich covariance.

    Examples
    --------
    >>> import pandas as pd
    >>> df = pd.DataFrame({
    ...     "case": [1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4], "alternative": list("abn" * 4),
    ...     "price": [1, 2, 0, 2, 1, 0, 3, 1, 0, 2, 2, 0],
    ...     "belief": [.5, .2, .3, .2, .5, .3, .05, .6, .35, .3, .25, .45]})
    >>> fit = nlogit("belief ~ price", df, nests={"diapers": ["a", "b"]}, base="n")
    >>> list(fit.params.index)
    ['price', 'const:a', 'const:b', 'dissimilarity(diapers)']
    >>> bool(fit.params["dissimilarity(diapers)"] < 1)
    True
    """
    asked = Options.of(data=data, read=read, count=count, **options)
    return LogitResults.of(
        fit_nlogit(
            formula,
            data,
            asked,
            nests,
            dissimilarity,
            case=case,
            alternative=alternative,
            base=base,
            availability=availability,
        )
    )
