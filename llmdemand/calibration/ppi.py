"""Prediction-powered demand: human answers and beliefs of a language model, together."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from llmdemand.calibration.calibrated import CalibratedDemand
from llmdemand.calibration.checks.assumptions import Evidence, assumptions
from llmdemand.calibration.checks.laws import WARN, SameLaw, compare_laws
from llmdemand.calibration.checks.leakage import Leak, leak
from llmdemand.calibration.checks.options import (
    BALANCE,
    PRICE_ONLY,
    CalibrationWarning,
    Lam,
    Prompt,
    check_options,
    few_humans,
)
from llmdemand.calibration.checks.population import imbalance
from llmdemand.calibration.estimates import Calibration
from llmdemand.calibration.fits import fit_of, llm_only, pooled, table_of
from llmdemand.calibration.moments.moments import Moments
from llmdemand.calibration.moments.tuning import (
    FEW,
    Contributions,
    effective,
    intervals,
    lost,
    widened,
)
from llmdemand.calibration.prompts import best_prompt, check_prompts
from llmdemand.calibration.samples.entries import Model
from llmdemand.calibration.samples.samples import pair
from llmdemand.calibration.target import Target, TargetName
from llmdemand.core.shards.shards import AnyPanel
from llmdemand.modeling.outcomes.frames import Reading

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["CalibrationWarning", "calibrate", "calibrate_moments"]


def calibrate(
    humans: pd.DataFrame,
    beliefs: pd.DataFrame | AnyPanel,
    formula: str = "choice ~ price",
    *,
    target: TargetName = "price",
    at: float | None = None,
    model: Model = "logit",
    cluster: str = "respondent_id",
    design: str | Mapping[Any, float] = "humans",
    lam: Lam = "tuned",
    price: str = "price",
    belief: str = "belief",
    case: str | None = None,
    alternative: str = "alternative",
    base: str | None = None,
    focal: str | None = None,
    attribute: str | None = None,
    na: Literal["raise", "drop"] = "raise",
    prompt_chosen_on: Prompt | None = None,
    prompts: Sequence[str] | None = None,
    reading: Reading | None = None,
    alpha: float = 0.05,
    reps: int = 999,
    seed: int = 1,
) -> CalibratedDemand:
    """Estimate human demand from human answers and a language model's beliefs (PPI++).

    Parameters
    ----------
    humans : pandas.DataFrame
        One row per answer (per answer and alternative for ``clogit``): the respondent, the
        outcome (0/1), the variables of the formula. A column named by `belief`, if there is one,
        holds the LLM's belief for that respondent and price.
    beliefs : Panel, PanelShards or pandas.DataFrame
        The LLM's answers as the same respondents, from which each human gets the mean of their
        own, and as further respondents, the pool. Of a `Panel` see `reading`.
    formula : str
        ``"choice ~ price"``; all variables must be on both sides. For ``clogit`` in parts, as
        ``"choice ~ price + wait | income"``.
    target : str
        What lambda is tuned to: ``price`` (the coefficient), ``share``, ``elasticity``, ``wtp``
        (the indifference price; what `attribute` is worth in a ``clogit``).
    at : float, optional
        Price of a share or elasticity; the mean over the design by default.
    model : str
        ``logit`` (0/1), ``fraclogit`` (outcomes in [0, 1]) or ``clogit``.
    cluster : str
        Column of respondents, on both sides; errors are clustered by it.
    design : str or mapping
        The price design to which both sides are weighted: ``humans`` (as they were asked),
        ``equal``, ``beliefs``, or weights by price. ``sampled`` is for regressors that each
        case has of its own (costs of each traveller): nothing is weighted, and errors count
        the regressors as random.
    lam : str or float
        ``tuned``; ``aipw`` (``N / (n + N)``, for beliefs that predict humans without bias); or a
        number from 0.
    price : str
        The price column.
    belief, case, alternative, base : str
        Columns of belief, of choice tasks (where respondents have several), of alternatives;
        the alternative whose constant is zero.
    focal : str, optional
        Alternative of a panel whose belief counts; of a ``clogit`` whose share or elasticity.
    attribute : str, optional
        See `target`.
    na : str
        ``raise``, or ``drop`` rows with missing values and human answers without a belief.
    prompt_chosen_on : str, optional
        ``others``, ``nobody`` or ``these``: on whose answers prompt and model were chosen.
        ``these`` is refused: beliefs that were fitted to the same answers look better than
        they are. What is not stated is a warning in the verdict.
    prompts : sequence of str, optional
        Columns of beliefs, one for each prompt (or model) that was tried: the best for the target
        is chosen here, by cross-fitting, so that no human's answer chooses their own belief.
    reading : str, optional
        Of a panel: ``final``, belief corrected by the choice of the whole answer, which may leave
        [0, 1], of all its rows (where some are unread, the share among the others at the same
        prices); or ``pivot``, belief there, of the rows with status ok. By default final where
        whole answers exist. The calibrated estimate is right with either.
    alpha : float
        One minus the confidence level.
    reps, seed : int
        Permutations of respondents, by which both sides' beliefs are compared, and the folds of
        `prompts`.

    Returns
    -------
    CalibratedDemand

    Raises
    ------
    DesignError
        Outcomes other than 0/1, beliefs outside [0, 1], humans without a belief of their own,
        respondents that are not on both sides or under other names, an LLM that was asked by
        other prompts or models on the two sides, no LLM respondents beyond the humans, cells
        with fewer than 2 respondents, separated humans, no finite estimate.
    UsageError
        For impossible options.

    Warns
    -----
    CalibrationWarning
        If belief does not vary between respondents of a price (it then saves nobody), the two
        sides' beliefs differ in distribution or mean so much that they are hardly samples of
        one population, belief is more spread among the humans than the pool allows (a leak), or
        there are fewer than 30 humans.

    Notes
    -----
    With cell means ``Ybar_j`` and ``fbar_j`` and design weights ``pi_j``, it solves ``sum_j pi_j
    x_j (mu(x_j'b) - m_j) = 0`` with ``m_j = Ybar_j + lambda (fbar_j,pool - fbar_j,humans)``, which
    is never clipped. The covariance is ``A^-1 [S - lambda (C + C') + lambda^2 (V_n + V_N)] A^-1``,
    S, C, V sums over respondents of scores centred in their cell (prices held fixed); intervals
    use t with n - 1 degrees of freedom. With g the derivative of the target times ``A^-1``,
    ``lambda = g'C g / g'(V_n + V_N) g``, at least 0, and ``rho = g'C g / sqrt(g'S g g'V_n g)``. A
    tuned lambda above 0 costs: the covariance is multiplied by ``1 + 2/n``, intervals use t(n - 2),
    and rho and n_eff are those without what a fitted weight gains from noise
    (`llmdemand.calibration.moments.tuning`). Whatever the LLM does, the estimate tends to the
    humans' own: an LLM that is wrong costs precision, not validity (Angelopoulos, Duchi & Zrnic
    2023, arXiv 2311.01453; for LLM respondents Hullman, Broska, Sun & Shaw 2026, arXiv
    2602.15785).

    Examples
    --------
    >>> from llmdemand.calibration.paired import paired_panel
    >>> data = paired_panel(humans=200, llm=1000, answers=1, seed=1)
    >>> found = calibrate(data.humans, data.beliefs)
    >>> list(found.table.index)
    ['humans only', 'LLM only', 'calibrated', 'naive pooling']
    >>> bool(found.table.loc["calibrated", "se"] < found.table.loc["humans only", "se"])
    True
    """
    check_options(lam, alpha, reps, seed, prompt_chosen_on)
    columns = [belief] if prompts is None else check_prompts(prompts, prompt_chosen_on)
    tried = {
        column: pair(
            humans,
            beliefs,
            formula,
            model=model,
            cluster=cluster,
            belief=column,
            case=case,
            alternative=alternative,
            base=base,
            focal=focal,
            na=na,
            reading=reading,
        )
        for column in columns
    }
    pairs, notes = tried[columns[0]], list[str]()
    asked = Target.of(
        target, at, price, focal, attribute, pairs.design, list(pairs.fit.params.index)
    )
    if prompts is not None:
        pairs, said = best_prompt(tried, asked, design, seed)
        prompt_chosen_on = "cross-fitted"
        notes.append(said)
    return calibrate_moments(
        Moments(pairs, design),
        asked,
        lam=lam,
        prompt=prompt_chosen_on,
        alpha=alpha,
        reps=reps,
        seed=seed,
        notes=tuple(notes),
    )


def calibrate_moments(
    moments: Moments,
    target: Target,
    *,
    lam: Lam = "tuned",
    prompt: Prompt | None = None,
    alpha: float = 0.05,
    reps: int = 999,
    seed: int = 1,
    notes: tuple[str, ...] = (),
    told: Moments | None = None,
) -> CalibratedDemand:
    """Calibrate data that are joined already; parameters as in `calibrate`.

    `told` are the same people with the beliefs that the LLM stated, where those that calibrate were
    made from them: what is checked of an LLM is checked of those.
    """
    if not moments.sampled:
        moments.check_cells()
    _ = moments.share  # an impossible design is refused before anything is computed
    pairs = moments.pairs
    n, more = pairs.humans.respondents, pairs.pool.respondents
    plain = moments.solve(moments.parts(0.0), "from the humans alone")
    scores = moments.scores(plain)
    alone = fit_of(moments, moments.parts(0.0), plain, scores.meat(0.0), n - 1, "humans only")
    direction = np.linalg.solve(
        np.linalg.inv(moments.bread(moments.parts(0.0), plain)), target.gradient(alone)
    )
    found = Contributions(*scores.along(direction))
    says = [*notes, *pairs.dropped]
    tuning = _tuning(found, lam, moments.most(plain), alpha, says)
    value, weights = tuning.lam, tuning.weights
    parts = moments.parts(value)
    params = moments.solve(parts, "from the calibrated cell means")
    meat = (moments.scores(params) if moments.sampled else scores).meat(value)
    fit = fit_of(moments, parts, params, meat * widened(n, weights), lost(n, weights), "calibrated")
    fits = {
        "humans only": alone,
        "LLM only": llm_only(moments, scores),
        "calibrated": fit,
        "naive pooling": pooled(moments, scores),
    }
    table, ci = table_of(fits, target, n, more, alpha)
    stated = moments if told is None else told
    stated_scores = scores if told is None else stated.scores(plain)
    laws = compare_laws(
        *stated.told,
        stated.row_names,
        direction=stated.moves(direction),
        reps=reps,
        seed=seed,
    )
    balance = imbalance(stated, stated_scores, plain)
    leaked = leak(Contributions(*stated_scores.along(direction)), reps=reps, seed=seed)
    _warn(found, balance, laws, leaked, n)
    evidence = Evidence(
        n,
        len(pairs.humans.cell),
        pairs.cluster,
        pairs.dropped,
        moments.asked_design,
        float(np.sqrt(moments.spread(pairs.humans))),
        balance,
        laws,
        pairs.asked,
        leaked,
        prompt,
    )
    return CalibratedDemand(
        fit.params,
        fit.cov,
        fit.df,
        fit.design,
        fit.frame,
        fit.weights,
        pairs.outcome,
        table=table,
        target=target,
        tuning=tuning,
        fits=fits,
        assumptions=assumptions(evidence),
        imbalance=balance,
        laws=laws,
        leak=leaked,
        notes=tuple(dict.fromkeys(says)),
        ci=ci,
        alpha=alpha,
        prompt=prompt,
        moments=moments,
    )


def _tuning(
    found: Contributions, lam: Lam, most: float, alpha: float, says: list[str]
) -> Calibration:
    """lambda, what it brought, and how sure that is; what has to be said of it."""
    n, more, raw = found.n, len(found.pool), found.best
    value, rule = _lam(lam, raw, n, more, most)
    if found.flat:
        says.append("belief does not vary between respondents of a price: it saves no humans")
    elif rule == "tuned" and raw < 0:
        says.append(
            f"lambda was {raw:.3g} and is brought to 0: belief goes against the answers, and the "
            "estimate is that of humans alone"
        )
    elif rule == "tuned" and raw > most:
        says.append(
            f"lambda was {raw:.3g} and is brought to {value:.3g}: beyond, a maximum is not "
            "guaranteed with design='sampled'"
        )
    elif rule == "tuned" and raw > 1:
        says.append(
            f"lambda is {raw:.3g}: beliefs vary less than the answers that they predict, and are "
            "stretched; the objective is concave at any lambda where both sides share cells"
            if most == np.inf
            else f"lambda is {raw:.3g}: beliefs vary less than the answers that they predict"
        )
    weights = int(rule == "tuned" and value > 0)
    ratio = found.ratio(value)
    n_eff = effective(n, ratio) if weights else n * ratio
    rho = found.corrected_rho
    return Calibration(
        value,
        raw,
        rule,
        rho,
        found.rho,
        n,
        more,
        n_eff,
        weights,
        intervals(found, value, rule, n_eff, rho, most, alpha),
        found.law,
    )


def _lam(lam: Lam, raw: float, n: int, more: int, most: float) -> tuple[float, str]:
    if lam == "tuned":
        return (float(min(max(raw, 0.0), most)) if np.isfinite(raw) else 0.0), "tuned"
    if lam == "aipw":
        return more / (n + more), "aipw"
    return float(lam), "fixed"


def _warn(found: Contributions, balance: float, laws: SameLaw, leaked: Leak, n: int) -> None:
    """Warn the caller of `calibrate` of what may make the result wrong."""
    said = []
    if found.flat:
        said.append(PRICE_ONLY)
    if balance < BALANCE and laws.p >= WARN:
        said.append(
            "the LLM's beliefs for the humans and for its further respondents differ by more than "
            f"chance (p = {balance:.2g}): the two are hardly samples of one population, and the "
            "calibrated estimate leans on the assumption that they are; compare their covariates"
        )
    if laws.p < WARN:
        said.append(laws.warning)
    if leaked.warned:
        said.append(
            "belief may know the answers of these humans (a leak, or a prompt that was tuned on "
            f"them): {leaked.evidence}"
        )
    if n < FEW:
        said.append(few_humans(n))
    for text in said:
        warnings.warn(text, CalibrationWarning, stacklevel=4)
