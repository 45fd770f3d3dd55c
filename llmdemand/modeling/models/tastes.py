"""Tastes: each respondent's own demand, and how demands differ between respondents."""

from __future__ import annotations

import numpy as np
import pandas as pd

from llmdemand.core.panel import Panel
from llmdemand.core.shards.shards import AnyPanel, drawn_note, sampled
from llmdemand.errors import DesignError, UsageError, choose
from llmdemand.modeling.outcomes.corrected import Coefficient
from llmdemand.modeling.outcomes.frames import Outcomes, Reading, default_reading, outcomes
from llmdemand.modeling.tastes.answers import Model, Outcome, people_of
from llmdemand.modeling.tastes.fitting import Entering, Fitted, fit, identified, own, within_noise
from llmdemand.modeling.tastes.law import spread_interval
from llmdemand.modeling.tastes.notes import notes_on
from llmdemand.modeling.tastes.people import People
from llmdemand.modeling.tastes.result import Tastes
from llmdemand.modeling.tastes.shape import skewness

__all__ = ["tastes"]

_RESAMPLES = 400
_SEED = 1


def tastes(
    panel: AnyPanel,
    formula: str = "price",
    *,
    outcome: Outcome = "belief",
    alternative: str | None = None,
    model: Model = "logit",
    respondent: str | None = None,
    reading: Reading | None = None,
    coefficient: Coefficient = "one",
    separation: Entering = "law",
    level: float = 0.95,
) -> Tastes:
    """Each respondent's own demand, and the law of their coefficients.

    Parameters
    ----------
    panel : Panel or PanelShards
        Runs of a study with respondents (personas), each asked at several prices.
    formula : str
        Right-hand side, as of `llmdemand.fit_demand`: every coefficient may differ between
        respondents, so every variable must vary within them.
    outcome : str
        ``belief`` or ``choice``.
    alternative : str, optional
        Whose demand; the study's focal alternative by default.
    model : str
        ``logit``: the alternative is bought or not. ``clogit``: all alternatives, with a
        constant for each but the base.
    respondent : str, optional
        Column that says who answers; ``persona_id`` by default.
    reading, coefficient
        Whose choice and which correction: see `llmdemand.fit_demand`.
    separation : str
        How respondents enter the law, those included who have no finite estimate of their own.
        ``law``: by the quadratic expansion of their log-likelihood at their coefficients given
        the law. ``firth``: by their own bias-reduced estimate. See `tastes.fitting.fit`.
    level : float
        Confidence of the intervals.

    Returns
    -------
    Tastes

    Raises
    ------
    DesignError
        Without respondents; where a variable does not vary within any of them; where too few
        have prices enough; where nobody has more prices than coefficients, so that the noise
        of beliefs cannot be told from tastes.
    UsageError
        For unknown options.

    Notes
    -----
    With theta_i the coefficients of respondent i and V_i the covariance of the noise in what
    she says of them::

        estimate_i | theta_i ~ N(theta_i, V_i),     theta_i ~ N(mean, covariance)

    fitted by REML. Nobody is left out: leaving out those who always or never buy selects on
    tastes. V_i is her inverse information times the noise phi of an answer, 1 for choices,
    estimated for beliefs (one number for all respondents).

    It describes and draws. The expansions are approximate where respondents' own answers say
    little: in simulations (300 respondents, true spread .80) belief at 8 prices gave .79, .76,
    .73 and .73 at a noise of 0, .05, .20 and .33, one choice at each of 8 prices .46. The
    ``reliability`` in the table tells how much rests on the answers, `Tastes.bias` measures it
    on data like these. For the estimate of a spread from noisy answers use a mixed logit. A
    normal law is wrong for skewed tastes: see ``skewness``.

    Examples
    --------
    >>> import llmdemand as ld
    >>> panel = ld.simulate(ld.load_study("pampers-households"), "synthetic", runs=1, seed=1)
    >>> found = tastes(panel)
    >>> found.table.index.tolist(), len(found.individuals) == len(panel.study.personas)
    (['const', 'price'], True)
    """
    panel = sampled(panel, "people")
    panel.study.unweighted("tastes")
    choose(outcome, Outcome, "outcome")
    choose(model, Model, "model")
    choose(separation, Entering, "separation")
    if not 0 < level < 1:
        raise UsageError(f"level={level}: a confidence lies between 0 and 1, as 0.95")
    reading = default_reading(panel) if reading is None else reading
    said = outcomes(panel, reading, coefficient=coefficient)
    name = panel.study.focal if alternative is None else alternative
    # Labels and stopped answers make choices weighted counts.
    toss = outcome == "choice" and bool(np.isin(said.effective, (0.0, 1.0)).all())
    people = people_of(
        panel, said, formula, outcome=outcome, alternative=name, model=model, respondent=respondent
    )
    data = people.choices
    if (data.n < 0).any():
        i = int(np.flatnonzero((data.n < 0).any(axis=1))[0])
        raise DesignError(
            f"respondent {people.ids[i]!r} has less than no answer that was read at some price (by "
            "the weights of labels or of stopped answers): use reading='pivot'"
        )
    noise = 1.0 if toss else None
    fitted = fit(data, noise=noise, entering=separation)
    return _result(
        people,
        fitted,
        level,
        outcome=outcome,
        reading=reading,
        model=model,
        alternative=name,
        formula=formula,
        unit=panel.study.unit,
        separation=separation,
        toss=toss,
        said=_entering(panel, len(people.who), said, outcome),
    )


def _entering(panel: Panel, entered: int, said: Outcomes, outcome: str) -> tuple[str, ...]:
    """What is said of the answers, and how many of them there are."""
    notes = said.notes if outcome == "belief" else said.stopping
    notes = (*drawn_note(panel), *notes, *([said.labels] if said.labels else []))
    left = len(panel) - entered
    if not left:
        return notes
    return (*notes, f"{left:,} of {len(panel):,} runs say nothing that enters: see panel.statuses")


def _result(
    people: People,
    fitted: Fitted,
    level: float,
    *,
    outcome: str,
    reading: str,
    model: str,
    alternative: str,
    formula: str,
    unit: str,
    separation: Entering,
    toss: bool,
    said: tuple[str, ...],
) -> Tastes:
    from scipy import stats

    data, back, terms = people.choices, people.back, people.terms
    law, size, count = fitted.law, len(terms), len(people.ids)
    mean = back @ law.mean
    covariance = back @ law.covariance @ back.T
    sd = np.sqrt(np.maximum(np.diag(covariance), 0.0))
    se = np.sqrt(max(law.factor, 1.0) * np.diag(back @ law.mean_cov @ back.T))
    t = float(stats.t.ppf((1 + level) / 2, count - 1))
    ends = np.array([spread_interval(fitted.noisy, law, back[k], level) for k in range(size)])
    shape = np.array([skewness(fitted.noisy, b, _RESAMPLES, _SEED) for b in back])
    error = np.einsum("km,bmn,kn->bk", back, fitted.error, back)
    prior = np.where(sd > 0, sd, np.nan) ** 2
    table = pd.DataFrame(
        {
            "mean": mean,
            "se": se,
            "lower": mean - t * se,
            "upper": mean + t * se,
            "sd": sd,
            "sd_lower": ends[:, 0],
            "sd_upper": ends[:, 1],
            "skewness": np.where(sd > 0, shape[:, 0], np.nan),
            "skewness_se": np.where(sd > 0, shape[:, 1], np.nan),
            "reliability": np.maximum(1 - error.mean(axis=0) / prior, 0.0),
        },
        index=pd.Index(terms, name="coefficient"),
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        correlations = covariance / np.outer(sd, sd)
    able = identified(data)
    params, noisy, exists = own(data, able, fitted.noise)
    individuals = pd.DataFrame(index=pd.Index(people.ids, name="respondent"))
    predicted, own_params = fitted.predicted @ back.T, params @ back.T
    own_error = np.sqrt(np.einsum("km,bmn,kn->bk", back, noisy, back))
    for k, term in enumerate(terms):
        individuals[term] = predicted[:, k]
        individuals[f"{term}_se"] = np.sqrt(np.maximum(error[:, k], 0.0))
        individuals[f"{term}_own"] = own_params[:, k]
        individuals[f"{term}_own_se"] = own_error[:, k]
    individuals["points"] = (data.rows > 0).sum(axis=1)
    individuals["runs"] = data.rows.sum(axis=1).astype(int)
    price = "price" if "price" in terms else None
    icc = float("nan") if toss else within_noise(data, fitted.predicted)
    notes = notes_on(table, fitted, people.ids, able, exists, separation, toss=toss)
    return Tastes(
        table=table,
        correlations=pd.DataFrame(correlations, terms, terms),
        individuals=individuals,
        outcome=outcome,
        reading=reading,
        model=model,
        alternative=alternative,
        formula=formula,
        unit=unit,
        price=price,
        noise=fitted.noise,
        icc=icc,
        level=level,
        separation=separation,
        converged=fitted.converged,
        notes=(*said, *notes),
        fitted=fitted,
        data=data,
        back=back,
        toss=toss,
    )
