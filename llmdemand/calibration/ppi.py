"""Prediction-powered demand: human answers and beliefs of a language model, together."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from llmdemand.calibration.calibrated import CalibratedDemand
from llmdemand.calibration.estimates import Calibration, LogitFit
from llmdemand.calibration.moments.assumptions import Prompt, assumptions
from llmdemand.calibration.moments.moments import Moments, Parts, Scores
from llmdemand.calibration.samples.entries import Model
from llmdemand.calibration.samples.samples import pair
from llmdemand.calibration.target import Target, TargetName
from llmdemand.core.panel import Panel
from llmdemand.errors import UsageError
from llmdemand.modeling.arrays import Array
from llmdemand.modeling.outcomes.frames import Reading

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["CalibrationWarning", "Lam", "calibrate", "calibrate_moments", "check_options"]

Lam = Literal["tuned", "aipw"] | float
_FLAT = 1e-12  # of the humans' variance: belief does not move with respondents
_GROUPS = 2000
#: Variance of a probability below which it is one number.
FLAT = 1e-20
PRICE_ONLY = (
    "belief does not vary between respondents of the same price: it cannot stand in for any human, "
    "lambda is 0 and the estimate that of humans alone; ask the LLM as each respondent (personas)"
)


class CalibrationWarning(UserWarning):
    """Beliefs that cannot help, or an assumption that the data contradict."""


def calibrate(
    humans: pd.DataFrame,
    beliefs: pd.DataFrame | Panel,
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
    beliefs : Panel or pandas.DataFrame
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
        number in [0, 1].
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
        they are.
    reading : str, optional
        Of a panel: ``final``, belief corrected by the choice of the whole answer, which may leave
        [0, 1], of all its rows (where some are unread, the share among the others at the same
        prices); or ``pivot``, belief there, of the rows with status ok. By default final where
        whole answers exist. The calibrated estimate is right with either.
    alpha : float
        One minus the confidence level.
    reps, seed : int
        Bootstrap of lambda, rho, n_eff and humans saved.

    Returns
    -------
    CalibratedDemand

    Raises
    ------
    DesignError
        Outcomes other than 0/1, beliefs outside [0, 1], humans without a belief of their own,
        respondents that are not on both sides, no LLM respondents beyond the humans, cells with
        fewer than 2 respondents, separated humans, no finite estimate.
    UsageError
        For impossible options.

    Warns
    -----
    CalibrationWarning
        If belief does not vary between respondents of a price (it then saves nobody), or the
        two sides' beliefs differ so much that they are hardly samples of one population.

    Notes
    -----
    With cell means ``Ybar_j`` and ``fbar_j`` and design weights ``pi_j``, it solves ``sum_j pi_j
    x_j (mu(x_j'b) - m_j) = 0`` with ``m_j = Ybar_j + lambda (fbar_j,pool - fbar_j,humans)``, which
    is never clipped. The covariance is ``A^-1 [S - lambda (C + C') + lambda^2 (V_n + V_N)] A^-1``,
    S, C, V sums over respondents of scores centred in their cell (prices held fixed); intervals
    use t with n - 1 degrees of freedom. With g the derivative of the target times ``A^-1``,
    ``lambda = g'C g / g'(V_n + V_N) g``, brought into [0, 1], and ``rho = g'C g / sqrt(g'S g g'V_n
    g)``. Whatever the LLM does, the estimate tends to the humans' own: an LLM that is wrong
    costs precision, not validity (Angelopoulos, Duchi & Zrnic 2023, arXiv 2311.01453; for
    LLM respondents Hullman, Broska, Sun & Shaw 2026, arXiv 2602.15785).

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
    pairs = pair(
        humans,
        beliefs,
        formula,
        model=model,
        cluster=cluster,
        belief=belief,
        case=case,
        alternative=alternative,
        base=base,
        focal=focal,
        na=na,
        reading=reading,
    )
    terms = list(pairs.fit.params.index)
    asked = Target.of(target, at, price, focal, attribute, pairs.design, terms)
    return calibrate_moments(
        Moments(pairs, design),
        asked,
        lam=lam,
        prompt=prompt_chosen_on,
        alpha=alpha,
        reps=reps,
        seed=seed,
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
) -> CalibratedDemand:
    """Calibrate data that are joined already; parameters as in `calibrate`."""
    import pandas as pd

    if not moments.sampled:
        moments.check_cells()
    _ = moments.share  # an impossible design is refused before anything is computed
    pairs = moments.pairs
    n, more = pairs.humans.respondents, pairs.pool.respondents
    plain = moments.solve(moments.parts(0.0), "from the humans alone")
    scores = moments.scores(plain)
    alone = _fit(moments, moments.parts(0.0), plain, scores.meat(0.0), n - 1, "humans only")
    direction = np.linalg.solve(
        np.linalg.inv(moments.bread(moments.parts(0.0), plain)), target.gradient(alone)
    )
    weights = scores.along(direction)
    raw, rho = _tuned(*weights)
    spread = moments.spread(pairs.humans)
    says = [*notes, *pairs.dropped]
    if not np.isfinite(raw):
        warnings.warn(
            PRICE_ONLY,
            CalibrationWarning,
            stacklevel=3,
        )
        says.append("belief does not vary between respondents of a price: it saves no humans")
    value, rule = _lam(lam, raw, n, more)
    if rule == "tuned" and np.isfinite(raw) and not 0 <= raw <= 1:
        says.append(
            f"lambda was {raw:.3g} and is brought to {value:g}: outside [0, 1] a maximum is not "
            "guaranteed"
        )
    parts = moments.parts(value)
    params = moments.solve(parts, "from the calibrated cell means")
    meat = (moments.scores(params) if moments.sampled else scores).meat(value)
    fit = _fit(moments, parts, params, meat, n - 1, "calibrated")
    fits = {
        "humans only": alone,
        "LLM only": _llm_only(moments, scores),
        "calibrated": fit,
        "naive pooling": _pooled(moments, scores),
    }
    table, ci = _table(fits, target, n, more, alpha)
    left = weights[0] - value * weights[1]
    n_eff = n * float(weights[0] @ weights[0] / (left @ left + value**2 * weights[2] @ weights[2]))
    tuning = Calibration(
        value,
        raw,
        rule,
        rho,
        n,
        more,
        n_eff,
        _intervals(weights, lam, n_eff, rho, alpha, reps, seed),
    )
    balance = _imbalance(moments, scores, plain)
    if balance < 0.001:
        warnings.warn(
            "the LLM's beliefs for the humans and for its further respondents differ by more than "
            f"chance (p = {balance:.2g}): the two are hardly samples of one population, and the "
            "calibrated estimate leans on the assumption that they are; compare their covariates",
            CalibrationWarning,
            stacklevel=3,
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
        assumptions=pd.DataFrame(assumptions(moments, balance, spread, prompt)),
        imbalance=balance,
        notes=tuple(dict.fromkeys(says)),
        ci=ci,
        alpha=alpha,
        moments=moments,
    )


def check_options(lam: Any, alpha: float, reps: int, seed: int, prompt: Any) -> None:
    """Raise `UsageError` for impossible options of a calibration."""
    if isinstance(lam, str):
        if lam not in ("tuned", "aipw"):
            raise UsageError(f"lam={lam!r}: use 'tuned', 'aipw' or a number from 0 to 1")
    elif not isinstance(lam, Real) or not 0 <= float(lam) <= 1:
        raise UsageError(f"lam={lam}: use a number from 0 (humans alone) to 1, or 'tuned'")
    if not isinstance(alpha, Real) or not 0 < float(alpha) < 1:
        raise UsageError(f"alpha={alpha!r}: give one minus the confidence level, as 0.05")
    whole = isinstance(reps, Integral) and isinstance(seed, Integral)
    if not whole or reps < 2 or seed < 0:
        raise UsageError(
            f"reps={reps!r}, seed={seed!r}: give whole numbers, at least 2 draws and a seed from 0"
        )
    if prompt not in (None, "others", "nobody", "these"):
        raise UsageError(f"prompt_chosen_on={prompt!r}: use 'others', 'nobody' or 'these'")
    if prompt == "these":
        raise UsageError(
            "prompt_chosen_on='these': a prompt that was chosen on these humans' answers fits them "
            "better than it fits others, and intervals would be too short; calibrate with humans "
            "whose answers were not looked at (split them first)"
        )


def _tuned(r: Array, q: Array, pool: Array) -> tuple[float, float]:
    """The best lambda, NaN where belief does not vary, and the PPI correlation."""
    s, c, v, v_pool = r @ r, r @ q, q @ q, pool @ pool
    if not v + v_pool > _FLAT * s or not v > 0:
        return float("nan"), 0.0
    return float(c / (v + v_pool)), float(c / np.sqrt(s * v)) if s > 0 else 0.0


def _lam(lam: Lam, raw: float, n: int, more: int) -> tuple[float, str]:
    if lam == "tuned":
        return (float(min(max(raw, 0.0), 1.0)) if np.isfinite(raw) else 0.0), "tuned"
    if lam == "aipw":
        return more / (n + more), "aipw"
    return float(lam), "fixed"


def _fit(
    moments: Moments, parts: Parts, params: Array, meat: Array, df: float, name: str
) -> LogitFit:
    import pandas as pd

    bread = moments.bread(parts, params)
    terms = moments.pairs.fit.params.index
    cov = pd.DataFrame(bread @ meat @ bread.T, index=terms, columns=terms)
    frame, weights = _cases(moments)
    return LogitFit(
        pd.Series(params, index=terms),
        cov,
        float(df),
        moments.pairs.design,
        frame,
        weights,
        f"{moments.pairs.outcome} ({name})",
    )


def _cases(moments: Moments) -> tuple[pd.DataFrame, Array]:
    """The cases that quantities average over: the cells, or the humans' own."""
    pairs = moments.pairs
    if moments.sampled:
        assert pairs.fit.frame is not None
        return pairs.fit.frame, pairs.fit.weights
    frame = pairs.rows
    if not pairs.outside:
        sizes = np.diff(np.append(pairs.begin, len(frame)))
        name = pairs.design.group  # type: ignore[attr-defined]
        frame = frame.assign(**{name: np.repeat(np.arange(len(sizes)), sizes)})
    return frame, moments.share


def _llm_only(moments: Moments, scores: Scores) -> LogitFit:
    parts = moments.llm_parts
    params = moments.solve(parts, "from the LLM alone")
    own = moments.scores(params).pool if moments.sampled else scores.pool
    return _fit(moments, parts, params, own.T @ own, len(own) - 1, "LLM only")


def _pooled(moments: Moments, scores: Scores) -> LogitFit:
    parts, share = moments.pooled_parts, moments.human_share
    params = moments.solve(parts, "from humans and LLM pooled")
    found = moments.scores(params) if moments.sampled else scores
    meat = share**2 * found.r.T @ found.r + (1 - share) ** 2 * found.pool.T @ found.pool
    df = len(found.r) + len(found.pool) - 1
    return _fit(moments, parts, params, meat, df, "naive pooling")


def _table(
    fits: Mapping[str, LogitFit], target: Target, n: int, more: int, alpha: float
) -> tuple[pd.DataFrame, str]:
    """The four estimates of the target, and how their intervals were made."""
    import pandas as pd

    count = {"humans only": n, "LLM only": more, "calibrated": n, "naive pooling": n + more}
    note = {
        "humans only": "valid",
        "LLM only": "a statement about the LLM, not about people",
        "calibrated": f"valid, sharpened by {more:,} LLM respondents",
        "naive pooling": "WARNING: biased unless the LLM answers as humans do",
    }
    rows, ci = {}, ""
    for name, fit in fits.items():
        found = target.quantity(fit, alpha)
        row = found.table.iloc[0]
        rows[name] = {
            **{k: float(row[k]) for k in ("estimate", "se", "lower", "upper")},
            "respondents": count[name],
            "note": note[name],
        }
        ci = found.ci if name == "calibrated" else ci
    return pd.DataFrame(rows).T.astype(
        dict.fromkeys(("estimate", "se", "lower", "upper"), float) | {"respondents": int}
    ), ci


def _intervals(
    weights: tuple[Array, Array, Array],
    lam: Lam,
    n_eff: float,
    rho: float,
    alpha: float,
    reps: int,
    seed: int,
) -> pd.DataFrame:
    """lambda, rho, n_eff and humans saved, with percentiles over drawn respondents.

    Respondents are drawn as they are, in random groups where a side has more than 2,000.
    """
    import pandas as pd

    r, q, pool = weights
    n, more = len(r), len(pool)
    rng = np.random.default_rng(seed)
    human = _drawn_sums([r * r, r * q, q * q, r, q], reps, rng)
    llm = _drawn_sums([pool * pool, pool], reps, rng)
    s = human[:, 0] - human[:, 3] ** 2 / n
    c = human[:, 1] - human[:, 3] * human[:, 4] / n
    v = human[:, 2] - human[:, 4] ** 2 / n
    v_pool = llm[:, 0] - llm[:, 1] ** 2 / more
    with np.errstate(invalid="ignore", divide="ignore"):
        flat = ~(v + v_pool > _FLAT * s)
        raw = np.where(flat, 0.0, c / (v + v_pool))
        correlation = np.where(flat, 0.0, c / np.sqrt(s * v))
        value = np.clip(raw, 0, 1) if lam == "tuned" else np.full(reps, _lam(lam, 0.0, n, more)[0])
        left = s - 2 * value * c + value**2 * (v + v_pool)
        drawn = {"lambda": value, "rho": correlation, "n_eff": n * s / left}
    # Rounding would show as minus nothing saved.
    drawn["n_eff"] = np.round(drawn["n_eff"], 9)
    drawn["humans saved"] = drawn["n_eff"] - n
    found, _ = _lam(lam, _tuned(*weights)[0], n, more)
    estimate = {"lambda": found, "rho": rho, "n_eff": n_eff, "humans saved": n_eff - n}
    ends = {k: np.nanquantile(d, [alpha / 2, 1 - alpha / 2]) for k, d in drawn.items()}
    return pd.DataFrame(
        {k: {"estimate": estimate[k], "lower": ends[k][0], "upper": ends[k][1]} for k in estimate}
    ).T


def _drawn_sums(columns: list[Array], reps: int, rng: np.random.Generator) -> Array:
    """Sums over bootstrap samples, (reps, columns)."""
    values = np.column_stack(columns)
    size = len(values)
    if size > _GROUPS:
        group = rng.permutation(size) % _GROUPS
        values = np.column_stack([np.bincount(group, c, _GROUPS) for c in values.T])
    counts = rng.multinomial(len(values), np.full(len(values), 1 / len(values)), size=reps)
    return np.asarray(counts @ values)


def _imbalance(moments: Moments, scores: Scores, params: Array) -> float:
    """p-value of equal mean scores of belief on both sides."""
    from scipy import stats

    # In units of what humans differ by: free of the scale of regressors, and rounding is small.
    unit = np.sqrt(np.diag(scores.r.T @ scores.r))
    unit[unit == 0] = 1.0
    gap = moments.imbalance(params) / unit
    cov = (scores.q.T @ scores.q + scores.pool.T @ scores.pool) / np.outer(unit, unit)
    values, vectors = np.linalg.eigh(cov)
    kept = values > max(1e-10 * float(values.max()), _FLAT)
    if not kept.any():  # every respondent of a price is told alike: any difference is no chance
        return 1.0 if float(gap @ gap) < _FLAT else 0.0
    along = vectors[:, kept].T @ gap
    wald, k = float(np.sum(along**2 / values[kept])), int(kept.sum())
    df = min(len(scores.q), len(scores.pool)) - 1
    if df < k:
        return float(stats.chi2.sf(wald, k))
    # Hotelling's law: the limit is too sure of a covariance that few respondents give.
    return float(stats.f.sf(wald * (df + 1 - k) / (k * df), k, df + 1 - k))
