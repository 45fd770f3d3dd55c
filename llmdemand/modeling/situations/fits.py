"""Conditional and nested logits of tables of any size: in memory, or in passes over files."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, cast
from uuid import uuid4

import numpy as np

from llmdemand.core.tables.pieces import Pieces
from llmdemand.errors import DesignError
from llmdemand.modeling.arrays import Array, triangle
from llmdemand.modeling.estimation.choices import Described, wanted
from llmdemand.modeling.estimation.conditional import fit_conditional
from llmdemand.modeling.estimation.estimate import Source, estimate_spread, near
from llmdemand.modeling.estimation.fit import Fit
from llmdemand.modeling.estimation.nested import fit_nested, fit_tree
from llmdemand.modeling.estimation.options import Options
from llmdemand.modeling.estimation.regressors import check_case_survey
from llmdemand.modeling.estimation.smooth import check_options, start_at
from llmdemand.modeling.likelihood.protocol import Concave
from llmdemand.modeling.optimum.newton import newton
from llmdemand.modeling.passes.cases import SpreadCases, surveyed_cases
from llmdemand.modeling.passes.rows import forget, specimens
from llmdemand.modeling.sample.columns import Data, column_names, opened
from llmdemand.modeling.sample.formula import looks_at_all_rows, offset_note
from llmdemand.modeling.sample.sample import used_levels
from llmdemand.modeling.situations.reading import Situations, WantedParts, files, refuse_divided
from llmdemand.modeling.substitution.nested import NestedCases
from llmdemand.modeling.substitution.nests import Dissimilarity, Nests, Tree
from llmdemand.modeling.substitution.smooth import Smooth
from llmdemand.scale.session import Session

__all__ = ["GIVEN", "MOST", "RUNS", "fit_clogit", "fit_nlogit", "in_passes"]

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

        def start() -> Array:
            z, back = whole.standardised()
            fit = newton(cast(Concave, z), start=near(z))
            return start_at(fit, cast(Concave, z), back, said, whole.survey.chosen)

        return fit_tree(said, nests, dissimilarity, options, likelihood, start)


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
            shards = files(data)
            if not getattr(data, "apart", False):
                refuse_divided(shards, asked.case, "case", session)
            held = [*asked.varying, *asked.fixed, asked.alternative, asked.case]
            names = tuple(dict.fromkeys(held))
            rows = used_levels(specimens(shards, WantedParts(asked), names, session))
            reader = Situations(asked, asked.design(rows), uuid4().hex)
            terms = reader.design.terms
            survey = surveyed_cases(shards, reader.whole, len(reader.design.alternatives), session)
            whole = SpreadCases(shards, reader, survey, session, np.eye(len(terms)))
            close = check_case_survey(survey, triangle(survey.corner @ whole.scale), terms)
            notes = (*offset_note(asked.generic), *close, _PASSES)
            described = Described(reader.design, None, asked.outcome, survey.dropped, notes)
            yield _Sample(described, whole)
    finally:
        forget("")
