"""Demand from a panel: price sensitivity, elasticities, prices and surplus."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any, Literal, get_args

from llmdemand.core.panel import USABLE, Panel
from llmdemand.core.shards.shards import PanelShards
from llmdemand.core.study import Study
from llmdemand.errors import DesignError, UsageError, nearest
from llmdemand.modeling.estimation.binary import fit_binary
from llmdemand.modeling.estimation.estimate import VarianceWarning
from llmdemand.modeling.estimation.fit import Fit
from llmdemand.modeling.estimation.multinomial import fit_multinomial
from llmdemand.modeling.estimation.options import Options, Separation, Vcov, named_vcov
from llmdemand.modeling.models.numbers import NUMBERS, of_numbers
from llmdemand.modeling.models.results import LogitResults
from llmdemand.modeling.models.systems import SYSTEMS, check_system, fit_system
from llmdemand.modeling.outcomes.corrected import Coefficient
from llmdemand.modeling.outcomes.frames import Reading
from llmdemand.modeling.partworths.levels import formula_of
from llmdemand.modeling.quantities.quantity import Quantity
from llmdemand.modeling.runs.sampled import TASTES, Sampled, sampled
from llmdemand.modeling.sample.designs import BinaryDesign
from llmdemand.modeling.situations.fits import GIVEN, RUNS, fit_clogit
from llmdemand.modeling.variance.vcov import SSC
from llmdemand.scale.executors import Executor

__all__ = ["Demand", "fit_demand"]

Outcome = Literal["belief", "choice"]
Model = Literal["logit", "clogit", "mnlogit", "nested", "mixed", "latent", "count", "ordered"]

# Within-cell share of the variance below which runs of a prompt count as one.
_NEARLY_CONSTANT = 0.001


@dataclass(frozen=True, repr=False, kw_only=True)
class Demand(LogitResults):
    """A fitted demand system, and whose demand it is about.

    It is a `LogitResults` that knows the study's names: prices are in the study's unit, and
    quantities are those of `alternative` unless another one is named.

    Attributes
    ----------
    alternative : str
        Whose demand it is.
    unit : str
        Unit of prices.
    prices : tuple of float
        The price grid of the data.
    reading : str
        ``final`` or ``pivot``: whose choice, see `fit_demand`; else the panel's measure.
    results : LogitResults or None
        The fit underneath, where it can be asked more than a logit, such as for individual
        tastes.
    """

    alternative: str
    unit: str
    prices: tuple[float, ...]
    reading: Reading = "pivot"
    results: LogitResults | None = None

    @cached_property
    def fit(self) -> LogitResults:
        """The logit underneath, which knows no alternative of its own."""
        return LogitResults.of(self) if self.results is None else self.results

    @property
    def price_sensitivity(self) -> float:
        """The price coefficient: change in log-odds per unit of price.

        Raises
        ------
        DesignError
            If price does not enter linearly: one number does not describe it.
        """
        if "price" not in self.params.index:
            raise DesignError(
                f"no coefficient 'price' among {', '.join(self.params.index)}: price sensitivity "
                "changes with the price; ask for elasticity() or marginal_effects()"
            )
        return float(self.params["price"])

    @property
    def _own(self) -> str:
        return self.alternative

    def _named(self, found: Quantity) -> Quantity:
        """The study's unit in place of "units of price"."""
        return replace(found, unit=found.unit.replace("units of price", self.unit))

    @property
    def _about(self) -> str:
        what = {
            ("belief", "final"): "belief corrected by the final choice",
            ("choice", "final"): "final choice",
            ("belief", "stated"): "stated probability (not model belief)",
            ("belief", "similarity"): "similarity to anchor statements (not model belief)",
            ("choice", "similarity"): "choice of the text",
        }.get((self.outcome, self.reading), f"{self.outcome} at the pivot")
        return f"Demand for {self.alternative}, outcome {what}, price in {self.unit}"


def fit_demand(
    panel: Panel | PanelShards,
    outcome: Outcome = "belief",
    *,
    alternative: str | None = None,
    formula: str | None = None,
    model: Model = "logit",
    vcov: Vcov | None = None,
    cov_type: str | None = None,
    cov_kwds: Mapping[str, Any] | None = None,
    ssc: SSC = "stata",
    separation: Separation = "warn",
    statuses: Sequence[str] | None = None,
    reading: Reading | None = None,
    coefficient: Coefficient = "one",
    weights: str | None = None,
    executor: Executor = None,
    **own: Any,
) -> Demand:
    """Fit demand to the runs of a panel.

    Parameters
    ----------
    panel : Panel or PanelShards
        Runs, in memory or as a folder of files, which need not fit into it: they are read part
        by part, without their texts, and reduced to equal rows; of ``clogit`` and ``nested``
        they stay in their files where more than two million differ, of ``mixed`` where there are
        more than two million and nobody's answers are in two parts. Otherwise of ``mixed``, and of
        ``latent``, for whom a respondent's answers belong together, and of ``mnlogit`` of beliefs,
        no two of which are equal, the columns of the model are in memory.
    outcome : str
        ``belief`` (fractional) or ``choice`` (0/1).
    alternative : str, optional
        Whose demand; the study's focal alternative by default.
    formula : str, optional
        Right-hand side: ``price`` by default; for ``mnlogit`` the prices that vary.
        ``price`` is the own price; rivals' are ``price_<alternative>``; attributes of the
        alternatives likewise, and those of a choice experiment are in the models of all
        alternatives by default; variants, arms, orders and fields of personas are columns too.
        Prices may enter as ``log(price)``, ``C(price)``, ``bs(price, df=4)``, ``price +
        round(price, 5)``. For ``clogit`` it may have parts: ``price | income``.
    model : str
        ``logit``: the alternative is bought or not. ``clogit``: all alternatives, one price
        coefficient, a constant for each. ``mnlogit``: all alternatives, each with
        coefficients of its own. ``nested``: as ``clogit``, in nests. ``mixed`` and ``latent``:
        as ``clogit``, with tastes that differ between respondents by a law, or by classes.
        A study that asks for a number is fitted by its own model, ``count`` or ``ordered``: see
        `quantity_demand` and `ologit`, whose results these are.
    vcov : str or mapping, optional
        By default clustered by the study's own cluster column (``cell`` unless it says
        otherwise) where it has personas or names another one; else by cell where the outcome
        hardly varies between the runs of a prompt
        (they are then no independent evidence), and HC1 otherwise.
    cov_type, cov_kwds, ssc, separation
        See `llmdemand.modeling.models.logit.fraclogit`.
    statuses : sequence of str, optional
        Rows that enter a reading at the pivot; what is left out is counted in the summary. By
        default ``ok``; for choice in a panel without a single belief (a model that gives no
        log-probabilities) ``no_logprobs``.
    reading : str, optional
        ``final``: the choice of the whole answer, and belief corrected by it, which is unbiased
        for it whatever the text goes on to say; of all runs. ``pivot``: choice and belief at the
        pivot, which take an answer that changes its mind for what it said first. By default
        final where whole answers exist: see `default_reading`. Panels of ``stated`` probabilities
        and of ``similarity`` have one reading, their measure, of all usable runs.
    coefficient : str
        Of the correction: ``one``, ``tuned`` or ``every-name``: see `corrected.corrected`.
    weights : str, optional
        Column of sampling weights; the study's own ``weights`` by default, ``""`` for none.
    executor : None, int, str or dask.distributed.Client
        Who reads a panel in files: this process, so many processes, or a Dask cluster by its
        address (``tcp://...``). No number depends on it.
    **own
        Options of the model: ``nests`` (by default all alternatives that are bought in one) and
        ``dissimilarity`` of ``nested``, ``random`` (by default ``{"price": "normal"}``) and the
        others of ``mixed``, ``classes`` and the others of ``latent``: see `nlogit`, `mixlogit`,
        `lclogit`. The result's ``fit`` has what they have, such as ``fit.individual()``.

    Returns
    -------
    Demand
        Of a study of numbers a `QuantityDemand` or a `RatingDemand`.

    Raises
    ------
    DesignError
        No usable rows, one price, one cluster.
    UsageError
        For an unknown outcome, alternative or model.

    Warns
    -----
    SeparationWarning
        If the maximum does not exist.
    VarianceWarning
        If belief is 0 or 1 in every run, or does not vary about the fit.

    Examples
    --------
    >>> from llmdemand import load_study, simulate
    >>> panel = simulate(load_study("pampers"), "synthetic", runs=20, seed=1)
    >>> demand = fit_demand(panel, "belief")
    >>> bool(-0.65 < demand.price_sensitivity < -0.45)
    True
    """
    if outcome not in get_args(Outcome):
        raise UsageError(f"outcome {outcome!r}: use 'belief' or 'choice'")
    if panel.study.question is not None or model in NUMBERS.values():
        told: dict[str, Any] = {"alternative": alternative, "vcov": vcov, "cov_type": cov_type}
        told |= {"cov_kwds": cov_kwds, "ssc": ssc, "separation": separation, **own}
        told |= {"statuses": statuses, "reading": reading, "coefficient": coefficient}
        told |= {} if weights is None else {"weights": weights}
        if isinstance(panel, PanelShards):
            raise UsageError("quantities and ratings are fitted in memory: give shards.panel()")
        # Their own result, which answers what is asked of every demand.
        return of_numbers(panel, outcome, model, formula, **told)  # type: ignore[return-value]
    if model not in get_args(Model):
        raise UsageError(
            f"model {model!r}{nearest(str(model), get_args(Model))}: use "
            f"{', '.join(get_args(Model))}"
        )
    check_system(model, own)
    found = sampled(panel, outcome, alternative, reading, statuses, coefficient, executor)
    if not found.entered or (outcome == "belief" and not found.believed):
        raise DesignError(_nothing(found))
    if outcome == "belief" and found.certain:
        _tell_of_certainty(found.entered)
    data = panel.frame if isinstance(panel, Panel) else None
    asked = named_vcov(vcov, cov_type, cov_kwds, data)
    if asked is None and model not in TASTES:  # theirs is by respondent
        asked = _default_vcov(found, panel.study)
    if formula is None:
        formula = _default_formula(found, model)
    weights = panel.study.weights if weights is None else weights
    weighted: dict[str, Any] = {"weights": weights, "weights_type": "sampling"} if weights else {}
    how: dict[str, Any] = {"ssc": ssc, "separation": separation, "read": found.read, **weighted}
    at_work = found.executor if executor is None else executor
    options = Options.of(asked, executor=at_work, **how)
    fit, results = _fitted(found, model, formula, options, own, {"vcov": asked, **how})
    fit = replace(fit, outcome=outcome, dropped=len(panel) - found.entered)
    fit = replace(fit, notes=(*fit.notes, *_of_experiment(found, formula)))
    if found.reading == "final" and outcome == "belief":
        fit = _resting_on(fit, found)
    if outcome == "choice":
        fit = replace(fit, notes=(*fit.notes, *found.stopping))
    if found.labels:
        fit = replace(fit, notes=(*fit.notes, found.labels))
    if results is not None:
        more = {f.name: getattr(fit, f.name) for f in fields(Fit)}
        results = replace(results, **more)
    return Demand.of(
        LogitResults.of(fit),
        results=results,
        alternative=found.name,
        unit=panel.study.unit,
        prices=tuple(found.values["price"].tolist()),
        reading=found.reading,
    )


def _fitted(
    found: Sampled,
    model: str,
    formula: str,
    options: Options,
    own: Mapping[str, Any],
    how: Mapping[str, Any],
) -> tuple[Fit, LogitResults | None]:
    """The fit, and the results of models that can be asked more than a logit."""
    text, study, name = f"{found.outcome} ~ {formula}", found.panel.study, found.name
    if model == "logit":
        binary = found.outcome == "choice" and not found.counted
        fit = fit_binary(text, found.rows, options, binary=binary)
        assert isinstance(fit.design, BinaryDesign)
        return replace(fit, design=replace(fit.design, name=name)), None
    menu = study.menu
    base = next((a.id for a in menu.alternatives if a.outside), None)
    base = base or next((a for a in menu.ids if a != name), None)
    more = [*options.asked().columns, *([options.weights] if options.weights else [])]
    if model == "mnlogit":
        wide = f"{' + '.join(menu.ids)} ~ {formula}"
        return fit_multinomial(wide, found.wide(), options, base=base), None
    most = RUNS if options.asked().kind in GIVEN else None
    long, count = found.long(model, formula, more, most)
    if model == "clogit":
        return fit_clogit(text, long, replace(options, count=count), base=base), None
    if count is not None:
        how = {**how, "count": count}
    if model != "latent":
        how = {**how, "executor": options.executor}
    results = fit_system(model, text, long, study, own, base=base, **how)
    return results, results


def _default_formula(found: Sampled, model: str) -> str:
    """Prices, and the attributes in the models that compare alternatives by them."""
    study = found.panel.study
    if model in ("clogit", *SYSTEMS):
        return formula_of(study)
    prices = [f"price_{a}" for a in study.prices]
    varying = [column for column in prices if len(found.values[column]) > 1]
    return " + ".join(varying) if model == "mnlogit" and varying else "price"


def _of_experiment(found: Sampled, formula: str) -> tuple[str, ...]:
    """What the reader has to know of a choice experiment whose levels or tasks are mixed."""
    names = [x.name for x in found.panel.study.attributes]
    lacking = [n for n in names if not re.search(rf"\b{n}(_\w+)?\b", formula)]
    notes = []
    if lacking:
        notes.append(
            f"levels of {', '.join(lacking)} are not in the formula: estimates are averages over "
            "those that were shown (all of them enter by model='clogit', or ld.conjoint)"
        )
    if found.held:
        notes.append(
            f"{found.held:,} runs of holdout tasks are in this fit; ld.conjoint leaves them out"
        )
    return tuple(notes)


def _resting_on(fit: Fit, found: Sampled) -> Fit:
    """The fit with the degrees of freedom that the runs which change their mind leave it."""
    changes = found.changes
    df = min(fit.df, changes - 1) if changes > 1 else fit.df
    return replace(fit, df=float(df), notes=(*fit.notes, *found.notes))


def _nothing(found: Sampled) -> str:
    panel, outcome, study = found.panel, found.outcome, found.panel.study
    if outcome == "choice" and any(found.statuses.get(status) for status in USABLE):
        return (
            f"none of the {len(panel)} runs has a choice: the panel's measure is "
            f"{study.measure!r}; fit its outcome 'belief', or ask the same study for choices "
            "(measure 'choice' or 'logprob')"
        )
    counts = {status: n for status, n in found.statuses.items() if n}
    return (
        f"no usable run among {len(panel)} (statuses: {counts}): demand cannot be fitted; "
        "see the answers with panel.frame['text'], or try another prompt or model"
        + (
            "; without log-probabilities only choice can be fitted (outcome 'choice')"
            if counts.get("no_logprobs")
            else "; the texts are to be measured first: by_similarity, `llmdemand similarity PANEL`"
            if counts.get("unmeasured")
            else "; this model states no usable percentages"
            if study.measure == "stated"
            else ""
        )
    )


def _tell_of_certainty(runs: int) -> None:
    warnings.warn(
        f"belief is 0 or 1 (within 1e-06) in all {runs} runs: the model is sure of every answer, "
        "so belief says what choice says",
        VarianceWarning,
        stacklevel=3,
    )


def _default_vcov(found: Sampled, study: Study) -> Vcov | None:
    """See `fit_demand`: replicated prompts whose outcome is a constant are one observation."""
    if study.cluster != "cell" or study.personas:
        return {"CRV1": study.cluster}
    replicated, within, total = found.constant
    # None is the estimator's own default: HC1, or iid for Firth's estimates of choices.
    return {"CRV1": "cell"} if replicated and within < _NEARLY_CONSTANT * total else None
