"""Calibration of data that are joined: lambda, the four fits, what was checked."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np

from llmdemand.calibration.calibrated import CalibratedDemand
from llmdemand.calibration.checks.assumptions import Evidence, assumptions
from llmdemand.calibration.checks.laws import WARN, SameLaw, compare_laws
from llmdemand.calibration.checks.leakage import UNCHECKED, Leak, leak
from llmdemand.calibration.checks.options import (
    BALANCE,
    PRICE_ONLY,
    CalibrationWarning,
    Lam,
    Law,
    Prompt,
    few_humans,
)
from llmdemand.calibration.checks.population import imbalance
from llmdemand.calibration.checks.rare import few_clusters, rare
from llmdemand.calibration.checks.unseen import unseen
from llmdemand.calibration.estimates import Calibration, LogitFit
from llmdemand.calibration.fits import fit_of, llm_only, pooled, table_of
from llmdemand.calibration.moments.moments import Moments, Scores
from llmdemand.calibration.moments.tuning import (
    FEW,
    Contributions,
    effective,
    intervals,
    lost,
    widened,
)
from llmdemand.calibration.proxies.joint import Joint
from llmdemand.calibration.target import Target
from llmdemand.errors import DesignError
from llmdemand.modeling.arrays import Array
from llmdemand.modeling.likelihood.cells import sigmoid
from llmdemand.modeling.printed import Whole

__all__ = ["calibrate_moments"]

_LEAST = 5  # independent units


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
    joint: Joint | None = None,
    law: Law = "answers",
) -> CalibratedDemand:
    """Calibrate data that are joined already; parameters as in `calibrate`.

    `told` are the same people with the beliefs that the LLM stated, where those that calibrate were
    made from them: what is checked of an LLM is checked of those. `joint` says of beliefs that are
    a weighted sum how the weights were found.
    """
    if not moments.sampled:
        moments.check_cells()
    _ = moments.share  # an impossible design is refused before anything is computed
    pairs = moments.pairs
    n, more = pairs.humans.respondents, moments.further
    if pairs.survey is not None and moments.size < _LEAST:
        raise DesignError(
            f"errors of {n} humans would rest on {moments.size:.2g} independent units: too few "
            "clusters, or weights too unequal, for any interval; trim the weights, join clusters "
            "or strata, or ask more people"
        )
    answers = moments.answers if law == "answers" else None
    plain = moments.solve(moments.parts(0.0), "from the humans alone")
    scores = moments.scores(plain)
    free = lost(moments.size, 0, answers)
    alone = fit_of(moments, moments.parts(0.0), plain, scores.meat(0.0), free, "humans only")
    direction = np.linalg.solve(
        np.linalg.inv(moments.bread(moments.parts(0.0), plain)), target.gradient(alone)
    )
    found = Contributions(*scores.along(direction))
    says = [*notes, *pairs.dropped]
    tuning = _tuning(found, lam, moments, plain, alpha, says, joint)
    value, weights = tuning.lam, tuning.weights
    parts = moments.parts(value)
    params = moments.solve(parts, "from the calibrated cell means")
    meat = (moments.scores(params) if moments.sampled else scores).meat(value)
    wide, df = widened(moments.size, weights), lost(moments.size, weights, answers)
    fit = fit_of(moments, parts, params, meat * wide, df, "calibrated")
    stated = moments if told is None else told
    stated_scores = scores if told is None else stated.scores(plain)
    alike = (moments, scores) if joint is None else (stated, stated_scores)
    fits = {
        "humans only": alone,
        "LLM only": llm_only(*alike),
        "calibrated": fit,
        "naive pooling": pooled(*alike),
    }
    table, ci = table_of(fits, target, n, more, alpha)
    laws, leaked = _compared(stated, stated_scores, direction, reps, seed)
    balance = imbalance(stated, stated_scores, plain)
    hidden = unseen(stated, stated_scores, direction, value, float(table.to_numpy()[2, 1]))
    if hidden is not None and told is None and 0 < hidden.moved < np.inf:
        hidden = hidden.moving(_moved(moments, target, fit, value, hidden.shift))
    scarce = rare(moments)
    says.extend(scarce)
    _warn(found, balance, laws, leaked, moments, scarce)
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
        "; ".join(() if pairs.survey is None else pairs.survey.notes),
        hidden,
    )
    return CalibratedDemand(
        fit.params,
        fit.cov,
        fit.df,
        fit.design,
        fit.frame,
        fit.weights,
        pairs.outcome,
        table=Whole(table),
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
        proxies=None if joint is None else joint.table,
        unseen=hidden,
    )


def _moved(moments: Moments, target: Target, fit: LogitFit, lam: float, shift: float) -> float:
    """How far the estimate goes if the pool's log-odds were off by so much, to either side."""
    pairs, found = moments.pairs, [0.0]
    with np.errstate(divide="ignore"):
        odds = np.log(pairs.pool.f) - np.log1p(-pairs.pool.f)
    here = float(target.quantity(fit).table["estimate"].iloc[0])
    for off in (-shift, shift):
        other = Moments(pairs.with_beliefs(pairs.humans.f, sigmoid(odds + off)), moments.design)
        try:
            params = other.solve(other.parts(lam), "of a shifted pool")
        except DesignError:
            return float("inf")
        there = replace(fit, params=fit.params * 0 + params)
        found.append(abs(float(target.quantity(there).table["estimate"].iloc[0]) - here))
    return max(found)


def _compared(
    stated: Moments, scores: Scores, direction: Array, reps: int, seed: int
) -> tuple[SameLaw, Leak]:
    """Beliefs of both sides in distribution; of samples of unlike laws only their table."""
    comparable = stated.pairs.survey is None or stated.pairs.survey.comparable
    laws = compare_laws(
        *stated.told,
        stated.row_names,
        direction=stated.moves(direction),
        reps=reps if comparable else 2,
        seed=seed,
    )
    if not comparable:
        return laws.untested, UNCHECKED
    return laws, leak(Contributions(*scores.along(direction)), reps=reps, seed=seed)


def _tuning(
    found: Contributions,
    lam: Lam,
    moments: Moments,
    plain: Array,
    alpha: float,
    says: list[str],
    joint: Joint | None,
) -> Calibration:
    """lambda, what it brought, and how sure that is; what has to be said of it."""
    n, more, raw = moments.pairs.humans.respondents, moments.further, found.best
    most = moments.most(plain)
    value, rule = _lam(lam, raw, n, more, most)
    if joint is not None:
        value, rule = joint.value, joint.rule
        says.extend(joint.notes)
    if found.flat:
        says.append("belief does not vary between respondents of a price: it saves no humans")
    elif rule == "tuned":
        says.extend(_said(raw, value, most))
    weights = int(rule == "tuned" and value > 0) if joint is None else joint.tuned
    ratio = found.ratio(value)
    # Unequal weights and clusters make few units of many humans: noise is that of the units.
    each = n / moments.size
    n_eff = each * effective(moments.size, ratio, weights) if weights else n * ratio
    rho = found.corrected_rho
    table = intervals(found, value, rule, n_eff, rho, most, alpha, humans=n, tuned=max(weights, 1))
    return Calibration(value, raw, rule, rho, found.rho, n, more, n_eff, weights, table, found.law)


def _said(raw: float, value: float, most: float) -> list[str]:
    if raw < 0:
        return [
            f"lambda was {raw:.3g} and is brought to 0: belief goes against the answers, and the "
            "estimate is that of humans alone"
        ]
    if raw > most:
        return [
            f"lambda was {raw:.3g} and is brought to {value:.3g}: beyond, a maximum is not "
            "guaranteed with design='sampled'"
        ]
    if raw > 1:
        return [
            f"lambda is {raw:.3g}: beliefs vary less than the answers that they predict, and are "
            "stretched; the objective is concave at any lambda where both sides share cells"
            if most == np.inf
            else f"lambda is {raw:.3g}: beliefs vary less than the answers that they predict"
        ]
    return []


def _lam(lam: Lam, raw: float, n: int, more: int, most: float) -> tuple[float, str]:
    if lam == "tuned":
        return (float(min(max(raw, 0.0), most)) if np.isfinite(raw) else 0.0), "tuned"
    if lam == "aipw":
        return more / (n + more), "aipw"
    return float(lam), "fixed"


def _warn(
    found: Contributions,
    balance: float,
    laws: SameLaw,
    leaked: Leak,
    moments: Moments,
    scarce: tuple[str, ...],
) -> None:
    """Warn the caller of `calibrate` of what may make the result wrong."""
    said = []
    if found.flat:
        said.append(PRICE_ONLY)
    if balance < BALANCE and not laws.p < WARN:
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
    n = moments.pairs.humans.respondents
    if n < FEW:
        said.append(few_humans(n))
    elif moments.size < FEW:
        said.append(few_clusters(n, moments.size))
    said.extend(scarce)
    for text in said:
        warnings.warn(text, CalibrationWarning, stacklevel=4)
