"""Mixed logit: from a formula, a long table and a law of tastes to a fit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from llmdemand.modeling.arrays import Array, Codes, peaks
from llmdemand.modeling.estimation.choices import Described, choices
from llmdemand.modeling.estimation.fit import Fit
from llmdemand.modeling.estimation.mixing.mixing import Mixing
from llmdemand.modeling.estimation.mixing.searching import Simulated, candidates_of, simulated
from llmdemand.modeling.estimation.mixing.seen import at_edges, check_mixed, refuse_vanished, skewed
from llmdemand.modeling.estimation.options import Options
from llmdemand.modeling.estimation.smooth import (
    by_respondent,
    check_options,
    clustered_by,
    estimate_smooth,
    plain_start,
)
from llmdemand.modeling.likelihood.protocol import Likelihood
from llmdemand.modeling.sample.columns import Data
from llmdemand.modeling.substitution.draws import Drawn, uniform_draws
from llmdemand.modeling.substitution.laws import Law, law_of
from llmdemand.modeling.substitution.mixed import MixedKernel, MixedPanels
from llmdemand.modeling.substitution.pairwise import (
    PairwisePanels,
    by_pairs,
    counted,
    said_of,
)
from llmdemand.modeling.substitution.panels import Panels, Seen
from llmdemand.modeling.substitution.respondents import Respondents
from llmdemand.modeling.substitution.sequences import observed_sequences, sequences_of_beliefs
from llmdemand.modeling.substitution.starts import starts_of

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Mixed", "Panelled", "fit_law", "fit_mixed", "problem_of"]

#: People of the population that quantities are averaged over: another seed moves shares,
#: elasticities and surpluses by less than .02 of their standard error (measured, 3 coefficients).
_POPULATION = 1024


@dataclass(frozen=True)
class Mixed:
    """A mixed logit, and who answered.

    Attributes
    ----------
    fit : Fit
        The fit.
    respondents : pandas.Index, (I,)
        Ids of the respondents, in the order of the data's rows.
    """

    fit: Fit
    respondents: pd.Index[Any]


@dataclass(frozen=True)
class Panelled:
    """Choice situations by respondent, wherever they are.

    Attributes
    ----------
    found : Described
        Where they come from.
    cases : Likelihood
        The situations, as of a plain logit.
    seen : Seen
        What they show of how respondents differ.
    largest : (K,) array
        Largest absolute values of the regressors.
    respondents : pandas.Index, (I,)
        Ids in their order.
    start : function
        Gives the coefficients of the plain logit.
    problem : function of a law and of whether likelihoods are pairwise
        Gives the respondents, without draws as yet.
    """

    found: Described
    cases: Likelihood
    seen: Seen
    largest: Array
    respondents: pd.Index[Any]
    start: Callable[[], Array]
    problem: Callable[[Law, bool], Simulated]


def fit_mixed(
    formula: str,
    data: Data,
    mixing: Mixing,
    options: Options,
    *,
    panel: str | None = None,
    case: str = "case",
    **columns: Any,
) -> Mixed:
    """A mixed logit: see `llmdemand.modeling.models.mixed.mixlogit`."""
    import pandas as pd

    check_options(options, "Mixed logit")
    whose = case if panel is None else panel
    options = by_respondent(options, whose)
    found = choices(formula, data, options, case=case, panel=whose, **columns)
    assert found.respondent is not None
    panels, largest = Panels(found.cases, found.respondent), peaks(found.cases.x)
    ids = found.frame[whose].iloc[found.cases.start[panels.heads]]
    return fit_law(
        Panelled(
            found,
            found.cases,
            panels.seen(largest),
            largest,
            pd.Index(ids, name=whose),
            lambda: plain_start(found),
            lambda law, pairwise: problem_of(
                panels, law, mixing, pairwise=pairwise, fractional=found.cases.fractional
            ),
        ),
        mixing,
        options,
    )


def fit_law(data: Panelled, mixing: Mixing, options: Options) -> Mixed:
    """The fit of choice situations, wherever they are."""
    found, seen = data.found, data.seen
    law = law_of(
        found.design.terms,
        mixing.random,
        {v: found.design.alone(v) for v in ("const", *found.design.variables)},
        correlated=mixing.correlated,
        space=mixing.space,
        price=mixing.price,
    )
    pairwise = by_pairs(data.cases, mixing.likelihood)
    notes = check_mixed(seen, law, pairwise=pairwise)
    problem = data.problem(law, pairwise)
    starts = starts_of(law, data.start(), data.largest, mixing.starts, mixing.seed)
    ends = candidates_of(problem, mixing, starts)
    whole, maxima, said = simulated(problem, seen.people, mixing, ends, found.outcome)
    best = maxima.best
    refuse_vanished(law, seen.reach, best.params)
    notes = [
        *said_of(data.cases, pairwise),
        said,
        maxima.note,
        *notes,
        *at_edges(law, best),
        *([] if pairwise else skewed(law, cast(MixedPanels, whole).skewed(best.params))),
    ]
    kernel = MixedKernel(law, _population(law, mixing.seed))
    fit = estimate_smooth(whole, law.names, "Mixed logit", kernel, found, best, options, notes)
    return Mixed(clustered_by(fit, str(data.respondents.name)), data.respondents)


def problem_of(
    panels: Panels,
    law: Law,
    mixing: Mixing,
    *,
    pairwise: bool,
    fractional: bool,
    ranks: Codes | None = None,
) -> Respondents:
    """Respondents, without draws as yet.

    Parameters
    ----------
    panels : Panels
        Choice situations by respondent.
    law, mixing
        Of their tastes, and how it is simulated.
    pairwise, fractional : bool
        Whether the likelihood is of pairs of situations; whether outcomes are beliefs.
    ranks : (I,) int array, optional
        Places of the respondents among all, where others are elsewhere.
    """
    heads, cases = panels.heads, panels.cases
    count, weights = counted(panels, pairwise), cases.weight[heads]
    clusters = {name: codes[heads] for name, codes in cases.groups.items()}
    none = np.empty((panels.people, 0, len(law.random))) if ranks is None else Drawn(law, ranks)
    if pairwise:
        return PairwisePanels(cases, panels, law, none, count, weights, clusters)
    chosen = (
        sequences_of_beliefs(panels, mixing.sequences, mixing.seed, ranks)
        if fractional
        else observed_sequences(panels)
    )
    return MixedPanels(cases, panels, law, none, count, weights, clusters, chosen=chosen)


def _population(law: Law, seed: int) -> Array:
    u = uniform_draws(1, _POPULATION, len(law.random), "sobol", seed)
    return law.features(law.standard(u)[0])
