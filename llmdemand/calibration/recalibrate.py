"""Beliefs that are taught to predict humans, without being told the answers they predict."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from llmdemand.calibration.calibrated import CalibratedDemand
from llmdemand.calibration.checks.options import (
    PRICE_ONLY,
    CalibrationWarning,
    Lam,
    Law,
    check_options,
)
from llmdemand.calibration.moments.moments import Moments
from llmdemand.calibration.moments.rectified import logit_data
from llmdemand.calibration.ppi import calibrate_moments
from llmdemand.calibration.samples.samples import Pairs, Sample, pair
from llmdemand.calibration.target import Target, TargetName
from llmdemand.core.shards.shards import AnyPanel
from llmdemand.errors import DesignError, UsageError, choose
from llmdemand.modeling.arrays import Array
from llmdemand.modeling.likelihood.cells import sigmoid
from llmdemand.modeling.likelihood.sets import ChoiceSets
from llmdemand.modeling.optimum.newton import newton

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Link", "cross_fitted", "recalibrated"]

Link = Literal["logit", "identity"]
_FLAT = 1e-20  # variance of a probability below which it is one number


def recalibrated(
    humans: pd.DataFrame,
    beliefs: pd.DataFrame | AnyPanel,
    formula: str = "choice ~ price",
    *,
    covariates: Sequence[str] = (),
    folds: int = 5,
    link: Link | None = None,
    lam: Lam = "aipw",
    target: TargetName = "price",
    at: float | None = None,
    design: str | Mapping[Any, float] = "humans",
    price: str = "price",
    focal: str | None = None,
    attribute: str | None = None,
    prompt_chosen_on: Literal["others", "nobody", "these"] | None = None,
    alpha: float = 0.05,
    law: Law = "answers",
    reps: int = 999,
    seed: int = 1,
    **options: Any,
) -> CalibratedDemand:
    """Calibrate with beliefs that were first regressed on human answers, by cross-fitting.

    Parameters
    ----------
    humans, beliefs, formula, target, at, design, price, focal, attribute, alpha, law, reps, seed
        See `llmdemand.calibration.ppi.calibrate`.
    covariates : sequence of str
        Numeric columns of both sides that help to predict (age, income).
    folds : int
        Parts into which the humans are divided, whole respondents each.
    link : str, optional
        How belief enters: ``logit`` (log-odds; beliefs of exactly 0 or 1 have none and are
        refused) or ``identity``. By default logit, but identity for the corrected beliefs of a
        panel where they leave (0, 1).
    lam : str or float
        ``aipw`` (``N / (n + N)``: the augmented inverse-probability estimator), ``tuned``, or a
        number.
    **options
        ``model, cluster, belief, case, alternative, base, na, reading`` of `calibrate`.

    Returns
    -------
    CalibratedDemand
        Its "LLM only" is the LLM after recalibration.

    Raises
    ------
    DesignError
        See `calibrate`; also for beliefs of 0 or 1 under ``link="logit"``, too few humans.
    UsageError
        For impossible options.

    Notes
    -----
    In each fold outcomes are regressed by logit (Firth's, which always exists) on 1, x, l, x l and
    the covariates, l the log-odds of belief, with the humans of the other folds; it predicts the
    humans of the fold, and the mean of the folds' predictions stands for the LLM respondents
    (cross-prediction, Zrnic & Candes 2024, PNAS 121). What is predicted takes the place of
    belief. No human's own answer enters their prediction, so intervals keep their meaning.

    Examples
    --------
    >>> from llmdemand.calibration.paired import paired_panel
    >>> data = paired_panel(humans=200, llm=1000, answers=1, seed=1)
    >>> found = recalibrated(data.humans, data.beliefs, target="share", at=37)
    >>> found.tuning.rule, round(found.lam, 3)
    ('aipw', 0.833)
    """
    check_options(lam, alpha, reps, seed, prompt_chosen_on)
    choose(law, Law, "law")
    if link is not None and link not in get_args(Link):
        raise UsageError(f"link={link!r}: use 'logit' or 'identity'")
    pairs = pair(humans, beliefs, formula, focal=focal, **options)
    if link is None:
        f = np.concatenate([pairs.humans.f, pairs.pool.f])
        beyond = isinstance(beliefs, AnyPanel) and ((f < 0) | (f > 1)).any()
        link = "identity" if beyond else "logit"
    found = pairs.with_beliefs(*cross_fitted(pairs, covariates, folds, link, seed))
    notes = [
        f"beliefs were recalibrated to humans in {folds} folds"
        + (f" with {', '.join(covariates)}" if covariates else "")
        + "; 'LLM only' is the LLM after that"
    ]
    if not covariates and Moments(pairs, design).spread(pairs.humans) < _FLAT:
        # Predictions then differ between folds alone, which says nothing about persons.
        warnings.warn(PRICE_ONLY, CalibrationWarning, stacklevel=2)
        notes.append("belief does not vary between respondents of a price: lambda is 0")
        lam = 0.0
    terms = list(pairs.fit.params.index)
    asked = Target.of(target, at, price, focal, attribute, pairs.design, terms)
    return calibrate_moments(
        Moments(found, design),
        asked,
        lam=lam,
        prompt=prompt_chosen_on,
        alpha=alpha,
        reps=reps,
        seed=seed,
        notes=tuple(notes),
        told=Moments(pairs, design),
        law=law,
    )


def cross_fitted(
    pairs: Pairs, covariates: Sequence[str], folds: int, link: Link, seed: int
) -> tuple[Array, Array]:
    """Predicted outcomes of every row of humans, (R,), and of the pool, (R',).

    Raises
    ------
    DesignError
        For beliefs without log-odds, covariates that are missing, not numeric or not known.
    UsageError
        For an impossible number of folds.
    """
    n = pairs.humans.respondents
    if not 2 <= folds <= n // 2:
        raise UsageError(
            f"folds={folds} with {n} humans: give at least 2 folds of at least 2 humans each"
        )
    human = _features(pairs, pairs.humans, pairs.human_frame, covariates, link)
    pool = _features(pairs, pairs.pool, pairs.pool_frame, covariates, link)
    scale = np.abs(human).max(axis=0)
    scale[scale == 0] = 1.0
    human, pool = human / scale, pool / scale
    fold = np.random.default_rng(seed).permutation(n) % folds
    sizes = np.diff(np.append(pairs.humans.start, len(pairs.humans.f)))
    held, total = np.empty(len(human)), np.zeros(len(pool))
    for k in range(folds):
        train = fold[pairs.humans.respondent] != k
        coefficients = _regression(pairs, human, train, sizes)
        rows = np.repeat(~train, sizes)
        start = (np.cumsum(sizes[~train]) - sizes[~train]).astype(np.intp)
        held[rows] = _predicted(pairs, human[rows] @ coefficients, start)
        total += _predicted(pairs, pool @ coefficients, pairs.pool.start)
    return held, total / folds


def _features(
    pairs: Pairs, side: Sample, frame: pd.DataFrame, covariates: Sequence[str], link: Link
) -> Array:
    """1, x, l, x l, covariates: one row per row of the side."""
    f = side.f
    if link == "logit":
        certain = int(((f <= 0) | (f >= 1)).sum())
        if certain:
            raise DesignError(
                f"{certain:,} beliefs are exactly 0 or 1 (are they choices?) or corrected beyond, "
                "and have no log-odds: use link='identity'"
            )
        # Of choice sets the log of belief: what a conditional logit takes as a utility.
        level = np.log(f) - np.log1p(-f) if pairs.outside else np.log(f)
    else:
        level = f.astype(np.float64)
    x = Moments(pairs, "sampled").regressors(side)
    terms = list(pairs.fit.params.index)
    own = x[:, [k for k, t in enumerate(terms) if t != "const"]]
    blocks = [x, level[:, None], own * level[:, None]]
    for name in covariates:
        if name not in frame.columns:
            raise DesignError(f"covariate {name!r} is not a column of both humans and beliefs")
        values = frame[name]
        if values.dtype.kind not in "fiub" or values.isna().any():
            raise DesignError(
                f"covariate {name!r} has missing values or holds {values.dtype}: numbers are needed"
            )
        value = values.to_numpy(np.float64)[:, None]
        # In a choice set what is the same for all alternatives moves the weight of belief.
        blocks.append(value if pairs.outside else value * level[:, None])
    return np.hstack(blocks)


def _regression(pairs: Pairs, features: Array, train: Any, sizes: Any) -> Array:
    """Coefficients of the training cases; collinear features share theirs."""
    rows = np.repeat(train, sizes)
    part, y = features[rows], pairs.humans.y
    assert y is not None
    start = (np.cumsum(sizes[train]) - sizes[train]).astype(np.intp)
    centred = part
    if not pairs.outside:
        mean = np.add.reduceat(part, start) / sizes[train][:, None]
        centred = part - np.repeat(mean, sizes[train], axis=0)
    _, values, right = np.linalg.svd(centred, full_matrices=False)
    basis = right[values > 1e-9 * values[0]].T
    data = logit_data(part @ basis, y[rows], start, np.ones(len(start)), outside=pairs.outside)
    found = newton(data, firth=True)
    if not found.converged:
        raise DesignError(
            "the recalibration of beliefs did not settle: take fewer covariates or fewer folds"
        )
    return np.asarray(basis @ found.params)


def _predicted(pairs: Pairs, eta: Array, start: Any) -> Array:
    return sigmoid(eta) if pairs.outside else ChoiceSets(start, len(eta)).shares(eta)
