"""Heuristic validation: how far the model's demand is from that of people. It proves nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from llmdemand.calibration.fidelity.differences import difference, shares
from llmdemand.calibration.fidelity.fidelity import fidelity
from llmdemand.calibration.fidelity.quantities import (
    OF_ONE,
    QUANTITIES,
    influence,
    targets,
    values,
)
from llmdemand.calibration.fidelity.result import Discrepancy
from llmdemand.calibration.fidelity.sets.answers import both_of
from llmdemand.calibration.fidelity.sets.compared import fidelity as sets_fidelity
from llmdemand.calibration.fidelity.sets.tastes import spread as sets_spread
from llmdemand.calibration.fidelity.sides import Respondents, sides
from llmdemand.calibration.fidelity.subgroups import groups_of
from llmdemand.calibration.samples.balance import (
    attributes,
    balance,
    comparison_assumptions,
    price_shares,
)
from llmdemand.calibration.samples.choice_sets import CASE, check_sums, sorted_cases
from llmdemand.calibration.samples.entries import (
    TASK,
    Model,
    belief_rows,
    check_beliefs,
    columns_of,
    in_memory,
    respondent_ids,
)
from llmdemand.core.panel import Panel
from llmdemand.core.shards.shards import AnyPanel
from llmdemand.errors import DesignError, UsageError, choose
from llmdemand.modeling.estimation.binary import fit_binary
from llmdemand.modeling.estimation.conditional import fit_conditional
from llmdemand.modeling.estimation.options import Options
from llmdemand.modeling.models.results import LogitResults
from llmdemand.modeling.outcomes.frames import Reading
from llmdemand.modeling.sample.formula import split, variables, without_offsets
from llmdemand.modeling.sample.sample import plain, require

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Discrepancy", "discrepancy"]

_WHO = "respondent of the comparison"
_ONE = "what beliefs sum to"


def discrepancy(
    humans: pd.DataFrame,
    beliefs: pd.DataFrame | AnyPanel,
    formula: str = "choice ~ price",
    *,
    model: Model = "logit",
    covariates: Sequence[str] = (),
    margin: float | Mapping[str, float] | None = None,
    at: float | None = None,
    cluster: str = "respondent_id",
    price: str = "price",
    belief: str = "belief",
    case: str | None = None,
    alternative: str = "alternative",
    base: str | None = None,
    focal: str | None = None,
    attribute: str | None = None,
    reading: Reading | None = None,
    alpha: float = 0.05,
    subgroups: Sequence[str] = (),
    tastes: Sequence[str] | None = None,
    reps: int = 199,
    seed: int = 1,
) -> Discrepancy:
    """Compare a language model's demand with that of humans: heuristic validation.

    It is fit for exploring (which prompt, which model, is it worth a study?), not for claims
    about people: an LLM that agrees with these humans at these prices may disagree elsewhere,
    and "no significant difference" in a small sample says nothing. Claims come from `calibrate`.

    Parameters
    ----------
    humans : pandas.DataFrame
        One row per answer (in a conditional logit per alternative of it), the outcome in [0, 1].
    beliefs : Panel, PanelShards or pandas.DataFrame
        Answers of the LLM, as the same respondents, as others, or both.
    formula : str
        As in `calibrate`.
    model : str
        ``logit`` (``fraclogit`` is the same here) or ``clogit``.
    covariates : sequence of str
        Numeric columns of respondents whose means are compared.
    margin : float or mapping, optional
        Difference that does not matter to you. A number is for shares; a mapping gives one for
        ``share``, ``price``, ``elasticity``, ``wtp``. Two one-sided tests then say whether the
        difference is shown to be smaller (Schuirmann 1987).
    at : float, optional
        Price of the elasticity and the share. Of a binary logit the mean over the humans'
        answers by default, of a conditional one the humans' choice sets as they are.
    cluster, price, belief, case, alternative, base, attribute, reading : str
        See `calibrate`; `attribute` adds its willingness to pay to a conditional logit.
    focal : str, optional
        Alternative of a panel whose belief counts; in a conditional logit the one whose
        elasticity and share are compared, by default the elasticities of all.
    alpha : float
        One minus the confidence level.
    subgroups : sequence of str
        Columns of what people are; shares are compared in each of their groups, in conditional
        logits without constants the price coefficient.
    tastes : sequence of str, optional
        Of a conditional logit: variables whose coefficients differ between people; their spread is
        compared by a mixed logit of each side. By default all attributes; empty for none.
    reps, seed : int
        Of the bootstrap over respondents, for what is compared beyond means; 0 leaves that out.

    Returns
    -------
    Discrepancy

    Raises
    ------
    DesignError
        For data to which no logit can be fitted, or sides that have no price in common or
        other alternatives.
    UsageError
        For impossible options.

    Notes
    -----
    Errors are clustered by respondent over both sides together: where the LLM answered as the
    same people, their answers are compared within persons. Quantities that are means over cases
    are those over the humans' cases on both sides, which are taken as fixed; the shares in
    `Discrepancy.curve` are plain means over each side's own answers.

    Examples
    --------
    >>> from llmdemand.calibration.paired import paired_panel
    >>> data = paired_panel(humans=200, llm=1000, seed=1)
    >>> found = discrepancy(data.humans, data.beliefs, covariates=["income"], margin=0.05)
    >>> found.equivalent, list(found.table.index)[:2]
    (False, ['price coefficient', 'own-price elasticity at 37.5'])
    """
    import pandas as pd

    margins = _margins(margin)
    if not 0 < alpha < 1:
        raise UsageError(f"alpha={alpha:g}: give one minus the confidence level, as 0.05")
    choose(model, Model, "model")
    if reps and not 20 <= reps <= 10_000:
        raise UsageError(f"reps={reps}: give 20 to 10,000 draws of the bootstrap, or 0 for none")
    if subgroups and not reps:
        raise UsageError("subgroups are compared with reps above 0")
    if tastes is not None and model != "clogit":
        raise UsageError("tastes=... is for model='clogit': a binary logit compares its intercept")
    lost: list[str] = []
    beliefs = in_memory(humans, beliefs, cluster)
    llm = belief_rows(beliefs, model, cluster, focal, reading, lost)
    outcome, parts = split(formula)
    without_offsets(parts, "a model of discrepancies")
    sets = model == "clogit"
    if len(parts) > 1 and not sets:
        raise UsageError("formulas with | are for model='clogit'")
    left, right = columns_of(humans, llm)
    named = [variables(part, left) for part in parts]
    flat = [v for part in named for v in part]
    cases = case, TASK if TASK in right else case
    menus = [[alternative, *([c] if c else [])] if sets else [] for c in cases]
    read = [[cluster, *m, *flat, *covariates, *subgroups] for m in menus]
    require([*read[0], outcome], left, "among the humans")
    require([*read[1], belief], right, "among the beliefs")
    if price not in flat:
        raise DesignError(
            f"the formula {formula!r} has no {price!r}: name the price column with price=..."
        )
    h, p = (
        plain(frame[list(dict.fromkeys([*columns, y]))].reset_index(drop=True))
        for frame, columns, y in zip((humans, llm), read, (outcome, belief), strict=True)
    )
    panel = isinstance(beliefs, Panel)
    if not panel:
        check_beliefs(p[belief], belief, "beliefs")
    ids = respondent_ids(h[cluster], p[cluster])
    common: dict[str, Any] = {}
    if sets:
        h, p, ids = _choice_sets(h, p, ids, cases, alternative)
        check_sums(p, belief, "beliefs")
        common = {"case": CASE, "alternative": alternative, "base": base}
    code, known = pd.factorize(np.concatenate([np.asarray(i, object) for i in ids]))
    who, size = (code[: len(h)], code[len(h) :]), len(known)
    h[_WHO], p[_WHO], p[outcome] = who[0], who[1], p[belief]
    fit = fit_conditional if sets else partial(fit_binary, binary=False)
    options = Options.of({"CRV1": _WHO}, separation="raise")
    # What a panel says may leave [0, 1] where belief is corrected.
    of_llm = replace(options, read=_ONE) if panel else options
    fits = (
        LogitResults.of(fit(formula, h, options, **common)),
        LogitResults.of(fit(formula, p.assign(**{_ONE: 1.0}), of_llm, **common)),
    )
    where = float(h[price].mean()) if at is None and not sets else at
    errors = [influence(f, r, outcome, w, size) for f, r, w in zip(fits, (h, p), who, strict=True)]
    people = [len(np.unique(w)) for w in who]
    rows = {}
    for target in targets(fits[0], where, price, focal, attribute):
        # What was asked for has to be there; the rest where the model has it.
        asked = at is not None or attribute is not None
        pair = values(target, fits, asked=asked)
        if pair is not None:
            (human, slope), (told, llm_slope) = pair
            apart = errors[1] @ llm_slope - errors[0] @ slope
            whose = f", {target.alternative}" if sets and target.name in OF_ONE else ""
            rows[target.label + whose] = difference(
                human, told, apart, min(people) - 1, margins.get(target.name), alpha
            )
    by = alternative if sets else price
    made_of = balance(
        attributes(h, p, alternative, named) if sets else price_shares(h, p, price),
        h,
        p,
        covariates,
        who,
    )
    shared = len(np.intersect1d(*who))
    beyond = None
    groups = groups_of((h, p), subgroups, who, size)
    if reps and sets:
        assert fits[0].design is not None
        on = [np.isin(np.arange(size), w).astype(np.intp) for w in who]
        both = both_of(
            fits[0].design,
            (h, p),
            outcome,
            who,
            flat,
            alternative,
            Respondents(on[0] + 2 * on[1], reps, seed),
            (np.asarray(fits[0].params, np.float64), np.asarray(fits[1].params, np.float64)),
        )
        varied = named[0] if tastes is None else tastes
        spread = partial(sets_spread, formula, (h, p), _WHO, size, varied, alpha, seed, **common)
        beyond = sets_fidelity(both, spread, groups, price, focal, alpha)
    elif reps:
        at_price = [f[price].to_numpy(np.float64) for f in (h, p)]
        said = [f[outcome].to_numpy(np.float64) for f in (h, p)]
        told_at = sides((at_price[0], at_price[1]), (said[0], said[1]), who, size, reps, seed)
        beyond = fidelity(told_at, groups, (people[0], people[1]), alpha)
    return Discrepancy(
        pd.DataFrame(rows).T.infer_objects(),
        shares((h, p), (outcome, belief), by, who, size, margins.get("share"), alpha),
        made_of,
        comparison_assumptions(made_of, covariates, shared, people[0], lost, prices=not sets),
        margins.get("share"),
        by,
        people[0],
        people[1],
        shared,
        alpha,
        beyond,
    )


def _choice_sets(
    h: pd.DataFrame,
    p: pd.DataFrame,
    ids: tuple[Any, Any],
    cases: tuple[str | None, str | None],
    alternative: str,
) -> tuple[pd.DataFrame, pd.DataFrame, tuple[Any, Any]]:
    """Both sides sorted by case, with their respondents; both have the same alternatives."""
    h, left, _ = sorted_cases(h, ids[0], cases[0], alternative)
    p, right, _ = sorted_cases(p, ids[1], cases[1], alternative)
    own, told = (sorted(set(frame[alternative])) for frame in (h, p))
    if own != told:
        raise DesignError(
            f"the humans chose among {', '.join(own)}, the LLM among {', '.join(told)}: give both "
            f"the same names in {alternative!r}"
        )
    return h, p, (left, right)


def _margins(margin: float | Mapping[str, float] | None) -> dict[str, float]:
    if margin is None:
        return {}
    found = dict(margin) if isinstance(margin, Mapping) else {"share": float(margin)}
    for name, value in found.items():
        if name not in QUANTITIES:
            raise UsageError(f"margin for {name!r}: use {', '.join(QUANTITIES)}")
        if not (value > 0 and np.isfinite(value)):
            raise UsageError(f"margin {value} for {name!r}: give a positive number")
    return found
