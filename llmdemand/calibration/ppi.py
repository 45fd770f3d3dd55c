"""Prediction-powered demand: human answers and beliefs of a language model, together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from llmdemand.calibration.calibrated import CalibratedDemand
from llmdemand.calibration.checks.options import (
    CalibrationWarning,
    Lam,
    Law,
    Prompt,
    check_options,
)
from llmdemand.calibration.moments.moments import Moments
from llmdemand.calibration.prompts import best_prompt, check_prompts
from llmdemand.calibration.proxies.gathered import gathered
from llmdemand.calibration.proxies.joint import check_proxies, jointly
from llmdemand.calibration.samples.entries import Model, in_memory
from llmdemand.calibration.samples.own_weights import own_weights
from llmdemand.calibration.samples.raking import Margins
from llmdemand.calibration.samples.samples import pair
from llmdemand.calibration.samples.surveyed import Survey
from llmdemand.calibration.target import Target, TargetName
from llmdemand.calibration.tuned.calibrating import calibrate_moments
from llmdemand.core.shards.shards import AnyPanel
from llmdemand.errors import choose
from llmdemand.modeling.outcomes.frames import Reading

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["CalibrationWarning", "calibrate", "calibrate_moments"]


def calibrate(
    humans: pd.DataFrame,
    beliefs: pd.DataFrame | AnyPanel | Mapping[str, pd.DataFrame | AnyPanel],
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
    proxies: Sequence[str] | None = None,
    weights: str | None = None,
    strata: str | None = None,
    psu: str | None = None,
    probability: str | None = None,
    margins: Margins | None = None,
    reading: Reading | None = None,
    alpha: float = 0.05,
    law: Law = "answers",
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
        own, and as further respondents, the pool. Of a `Panel` see `reading`. A mapping of names
        to tables or panels of several models takes them as joint proxies.
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
    proxies : sequence of str, optional
        Columns of beliefs of several models or prompts that are used together, each with a lambda
        of its own; a weight is tuned for each, and costs what tuning costs.
    weights : str, optional
        Column of the humans' sampling weights. The pool is weighted by its own column of that
        name; without one it is taken for a sample of the population. Of a panel the pool's are
        those of its study, which are also the default: humans without such a column have the
        weights of their personas. ``""`` leaves them aside.
    strata : str, optional
        Column of strata on both sides, each with a lambda of its own; the pool is weighted to the
        humans' strata, and errors are those within them. Not for ``design="sampled"``.
    psu : str, optional
        Column of what humans belong to (stores, households; primary sampling units): errors are
        clustered by it, with t laws of as many clusters. Also of the beliefs where they have it.
    probability : str, optional
        Column of the humans with the probability at which each was selected, from everybody in
        the beliefs (`plan_sample` with ``choose=...``): inverse-probability weights, and the pool
        is everybody (design-based supervised learning, Egami et al. 2023, arXiv 2306.04746).
    margins : mapping, optional
        What is known of the population by column of the humans, ``{"age": {"young": 0.3, "old":
        0.7}}``: humans are raked to it, and errors are those of raked estimates
        (`llmdemand.calibration.samples.raking.rake`).
    reading : str, optional
        Of a panel: ``final``, belief corrected by the choice of the whole answer, which may leave
        [0, 1], of all its rows (where some are unread, the share among the others at the same
        prices); or ``pivot``, belief there, of the rows with status ok. By default final where
        whole answers exist. The calibrated estimate is right with either.
    alpha : float
        One minus the confidence level.
    law : str
        Of intervals and p-values: ``answers``, the normal law where every human gave one answer of
        0 or 1 and counts alike, and t laws as far as weights, clusters and several answers leave
        noise in the variance (`llmdemand.calibration.moments.tuning.lost`); or ``units``, t with as
        many degrees of freedom as humans (independent units) less one, less the weights tuned.
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
        respondents that are not on both sides or under other names, weights that are not above
        zero, strata of one side alone, proxies that say the same, an LLM that was asked by
        other prompts or models on the two sides, no LLM respondents beyond the humans, cells
        with fewer than 2 respondents, separated humans, no finite estimate.
    UsageError
        For impossible options.

    Warns
    -----
    CalibrationWarning
        If belief does not vary between respondents of a price (it then saves nobody), the two
        sides' beliefs differ in distribution or mean so much that they are hardly samples of
        one population, belief is more spread among the humans than the pool allows (a leak),
        there are fewer than 40 humans (or clusters, or equally weighted people whom they are
        worth), or some answer hardly occurs.

    Notes
    -----
    With cell means ``Ybar_j`` and ``fbar_j`` and design weights ``pi_j``, it solves ``sum_j pi_j
    x_j (mu(x_j'b) - m_j) = 0`` with ``m_j = Ybar_j + lambda (fbar_j,pool - fbar_j,humans)``, which
    is never clipped. The covariance is ``A^-1 [S - lambda (C + C') + lambda^2 (V_n + V_N)] A^-1``,
    S, C, V sums over respondents of scores centred in their cell (prices held fixed); intervals
    use `law`, t(n - 1) for outcomes other than 0 and 1. With g the target's derivative times
    ``A^-1``, ``lambda = g'C g / g'(V_n + V_N) g``, at least 0, and ``rho = g'C g / sqrt(g'S g
    g'V_n g)``. A tuned lambda above 0 costs: the covariance is multiplied by ``1 + 2/n``, a degree
    of freedom is lost, and rho and n_eff are those without what a fitted weight gains from noise
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
    choose(law, Law, "law")
    notes: list[str] = []
    weights, humans = own_weights(weights, humans, beliefs, cluster, notes)
    survey = Survey(weights, strata, psu, probability, margins)
    survey.check(design)
    common: dict[str, Any] = {
        "model": model,
        "cluster": cluster,
        "case": case,
        "alternative": alternative,
        "focal": focal,
        "na": na,
        "reading": reading,
    }
    corrected = False
    if isinstance(beliefs, Mapping):
        proxies, corrected = [*map(str, beliefs)] if proxies is None else proxies, True
        each = {k: in_memory(humans, one, cluster) for k, one in beliefs.items()}
        told_by = {"belief": belief, "weights": weights, **common}
        beliefs = gathered(each, humans, formula, notes, **told_by)
        common["reading"] = None
    columns = (
        check_proxies(proxies, prompts, lam)
        if proxies is not None
        else [belief]
        if prompts is None
        else check_prompts(prompts, prompt_chosen_on)
    )
    more = {"base": base, "survey": survey, "corrected": corrected, **common}
    tried = {c: pair(humans, beliefs, formula, belief=c, **more) for c in columns}
    pairs, joint, told = tried[columns[0]], None, None
    asked = Target.of(
        target, at, price, focal, attribute, pairs.design, list(pairs.fit.params.index)
    )
    if prompts is not None:
        pairs, said = best_prompt(tried, asked, design, seed)
        prompt_chosen_on = "cross-fitted"
        notes.append(said)
    if proxies is not None or (strata is not None and lam == "tuned"):
        pairs, stated, joint = jointly(tried, asked, design)
        told = Moments(stated, design)
    return calibrate_moments(
        Moments(pairs, design),
        asked,
        lam=lam,
        prompt=prompt_chosen_on,
        alpha=alpha,
        reps=reps,
        seed=seed,
        notes=tuple(notes),
        told=told,
        joint=joint,
        law=law,
    )
