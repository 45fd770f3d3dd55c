"""Conditional, nested and mixed logits of tables of any size: in memory, or in passes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, cast
from uuid import uuid4

import numpy as np

from llmdemand.core.tables.pieces import Pieces
from llmdemand.errors import DesignError, UsageError
from llmdemand.modeling.arrays import Array, triangle
from llmdemand.modeling.estimation.choices import Described, wanted
from llmdemand.modeling.estimation.conditional import fit_conditional
from llmdemand.modeling.estimation.estimate import Source, estimate_spread, near
from llmdemand.modeling.estimation.fit import Fit
from llmdemand.modeling.estimation.mixed import Mixed, Panelled, fit_law, fit_mixed
from llmdemand.modeling.estimation.mixing.mixing import Mixing
from llmdemand.modeling.estimation.mixing.searching import Simulated
from llmdemand.modeling.estimation.nested import fit_nested, fit_tree
from llmdemand.modeling.estimation.options import Options
from llmdemand.modeling.estimation.regressors import check_case_survey
from llmdemand.modeling.estimation.smooth import by_respondent, check_options, start_at
from llmdemand.modeling.likelihood.protocol import Concave, Likelihood
from llmdemand.modeling.optimum.newton import newton
from llmdemand.modeling.passes.cases import SpreadCases, surveyed_cases
from llmdemand.modeling.passes.rows import forget, specimens
from llmdemand.modeling.sample.columns import Data, column_names, opened
from llmdemand.modeling.sample.formula import looks_at_all_rows, offset_note
from llmdemand.modeling.sample.sample import used_levels
from llmdemand.modeling.situations.panels import Answering, SpreadPanels, ranked, seen
from llmdemand.modeling.situations.reading import (
    Situations,
    WantedParts,
    divided,
    files,
    together,
)
from llmdemand.modeling.substitution.laws import Law
from llmdemand.modeling.substitution.nested import NestedCases
from llmdemand.modeling.substitution.nests import Dissimilarity, Nests, Tree
from llmdemand.modeling.substitution.smooth import Smooth
from llmdemand.scale.session import Session

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["GIVEN", "MOST", "RUNS", "fit_clogit", "fit_mixlogit", "fit_nlogit", "in_passes"]

#: Rows of files that are taken into memory.
MOST = 1 << 23
#: Runs of panels in files, no two of them equal, that are.
RUNS = 1 << 21
#: Covariances that passes give.
GIVEN = ("iid", "HC0", "HC1", "HC2", "HC3", "CRV1", "score")
_PASSES = (
    "choice situations stayed in their files, of which one at a time was read: what averages over "
    "rows (elasticities, predictions) is not to be had of this fit"
)
_APART = (
    "{} was read at once, with {:,} rows: sorted by {!r} a file is read a million rows at a time"
)


def in_passes(data: Any, options: Options) -> bool:
    """Whether a table stays in its files: one of many rows, or which says so itself.

    Covariances that fit samples of the rows need them in memory, however many there are.
    """
    large = isinstance(data, Pieces) and len(data) > MOST
    return getattr(data, "apart", False) or (large and options.asked().kind in GIVEN)


@dataclass(frozen=True)
class _Sample:
    described: Described
    data: SpreadCases
    respondents: pd.Index[Any] | None

    def start(self) -> Array:
        """Coefficients of the plain logit."""
        z, back = self.data.standardised()
        fit = newton(cast(Concave, z), start=near(z))
        return start_at(fit, cast(Concave, z), back, self.described, self.data.survey.chosen)


def fit_clogit(formula: str, data: Data, options: Options, **columns: Any) -> Fit:
    """A conditional logit: see `llmdemand.modeling.models.multinomial.clogit`.

    Parameters
    ----------
    formula, data, options, **columns
        See `llmdemand.modeling.estimation.choices.wanted`.
    """
    data = opened(data)
    if not in_passes(data, options):
        return fit_conditional(formula, data, options, **columns)
    with _sampled(formula, data, options, columns) as found:
        said = found.described
        z, back = found.data.standardised()
        source = Source(
            said.design,
            None,
            said.outcome,
            "Conditional logit",
            said.dropped,
            options.weighting,
            said.notes,
        )
        return estimate_spread(z, back, said.design.terms, source, options)


def fit_nlogit(
    formula: str,
    data: Data,
    options: Options,
    nests: Nests,
    dissimilarity: Dissimilarity = None,
    **columns: Any,
) -> Fit:
    """A nested logit: see `llmdemand.modeling.models.nested.nlogit`.

    Parameters
    ----------
    formula, data, options, **columns
        See `llmdemand.modeling.estimation.choices.wanted`.
    nests, dissimilarity
        See `llmdemand.modeling.substitution.nests.tree_of`.
    """
    data = opened(data)
    if not in_passes(data, options):
        return fit_nested(formula, data, options, nests, dissimilarity, **columns)
    check_options(options, "Nested logit")
    with _sampled(formula, data, options, columns) as found:
        whole, said = found.data, found.described

        def likelihood(tree: Tree) -> Smooth:
            made = partial(NestedCases, tree=tree)
            return cast(Smooth, replace(whole, made=made, more=len(tree.terms)))

        return fit_tree(said, nests, dissimilarity, options, likelihood, found.start)


def fit_mixlogit(
    formula: str,
    data: Data,
    mixing: Mixing,
    options: Options,
    *,
    panel: str | None = None,
    case: str = "case",
    **columns: Any,
) -> Mixed:
    """A mixed logit: see `llmdemand.modeling.models.mixed.mixlogit`.

    Parameters
    ----------
    formula, data, options, panel, case, **columns
        See `llmdemand.modeling.estimation.choices.wanted`.
    mixing : Mixing
        How tastes vary.
    """
    data = opened(data)
    whose = case if panel is None else panel
    # Runs of a respondent may lie in several parts of a panel: the model's columns are gathered.
    if not in_passes(data, options) or (_apart(data) and _divided(data, whose, options)):
        return fit_mixed(formula, data, mixing, options, panel=panel, case=case, **columns)
    check_options(options, "Mixed logit")
    if isinstance(mixing.draws, np.ndarray | list | tuple):
        raise UsageError(
            "draws of one's own are an array of all respondents, and these are in files: give "
            "their number, and sequence='sobol' or 'halton'"
        )
    options = by_respondent(options, whose)
    columns |= {"case": case, "panel": whose}
    with _sampled(formula, data, options, columns) as found:
        whole, reader = found.data, cast(Situations, found.data.rows)
        people = seen(whole.shards, reader, whole.survey.largest, whole.session)

        def problem(law: Law, pairwise: bool) -> Simulated:
            read = Answering(reader, law, mixing, pairwise, whole.fractional, uuid4().hex)
            return cast(
                Simulated,
                SpreadPanels(
                    whole.shards,
                    read,
                    whole.survey,
                    whole.session,
                    np.eye(law.size),
                    law=law,
                    plain=whole,
                    people=people.people,
                    paired=pairwise,
                ),
            )

        assert found.respondents is not None
        return fit_law(
            Panelled(
                found.described,
                cast(Likelihood, whole),
                people,
                whole.survey.largest,
                found.respondents,
                found.start,
                problem,
            ),
            mixing,
            options,
        )


def _apart(data: Any) -> bool:
    return bool(getattr(data, "apart", False))


def _divided(data: Any, whose: str, options: Options) -> bool:
    """Whether some respondent's rows are in several parts."""
    with Session(options.executor) as session:
        return divided(files(data, whose), whose, session)[1] is not None


@contextmanager
def _sampled(
    formula: str, data: Any, options: Options, columns: dict[str, Any]
) -> Iterator[_Sample]:
    """What one pass after the other learns of the files, while workers live."""
    asked = wanted(formula, column_names(data), options, **columns)
    for text in (asked.generic, asked.of_case, asked.own):
        if looks_at_all_rows(text, knots_suffice=True):
            raise DesignError(
                f"formula {formula!r} needs quantiles or means of all rows, which files that are "
                "read one at a time do not give: name them, as in bs(price, knots=[33, 37])"
            )
    if isinstance(data, Pieces):
        data.require(asked.columns)
    try:
        with Session(options.executor) as session:
            shards = files(data, asked.case if asked.panel is None else asked.panel)
            if not _apart(data):
                shards = together(shards, asked.case, "case", session)
                if asked.panel not in (None, asked.case):
                    shards = together(shards, str(asked.panel), "respondent", session)
            held = [*asked.varying, *asked.fixed, asked.alternative, asked.case]
            names = tuple(dict.fromkeys(held))
            rows = used_levels(specimens(shards, WantedParts(asked), names, session))
            order = None if asked.panel is None else ranked(shards, asked, session)
            shards, kinds = (shards, {}) if order is None else (order.shards, order.kinds)
            reader = Situations(asked, asked.design(rows), uuid4().hex, kinds)
            terms = reader.design.terms
            survey = surveyed_cases(shards, reader.whole, len(reader.design.alternatives), session)
            whole = SpreadCases(shards, reader, survey, session, np.eye(len(terms)))
            close = check_case_survey(survey, triangle(survey.corner @ whole.scale), terms)
            once = (f for _, f in shards if f.whole)
            apart = (_APART.format(f.name, sum(map(len, f.shards)), f.by) for f in once)
            notes = (*offset_note(asked.generic), *close, _PASSES, *apart)
            described = Described(reader.design, None, asked.outcome, survey.dropped, notes)
            yield _Sample(described, whole, None if order is None else order.respondents)
    finally:
        forget("")
