"""Questions of numbers: quantities by a Poisson regression, ratings by an ordered logit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from llmdemand.core.panel import Panel
from llmdemand.errors import UsageError, nearest
from llmdemand.modeling.estimation.options import Vcov, named_vcov
from llmdemand.modeling.numbers.answers import Outcome, answers
from llmdemand.modeling.numbers.precision import NumberPrecision
from llmdemand.modeling.numbers.quantity import QuantityDemand, fit_quantity
from llmdemand.modeling.numbers.rating import RatingDemand, fit_rating
from llmdemand.modeling.outcomes.corrected import Coefficient
from llmdemand.modeling.outcomes.frames import Reading
from llmdemand.modeling.variance.vcov import SSC

__all__ = ["NUMBERS", "number_precision", "of_numbers", "ologit", "quantity_demand"]

#: Models of `fit_demand` by the kind of question.
NUMBERS = {"quantity": "count", "rating": "ordered"}


def quantity_demand(
    panel: Panel,
    outcome: Outcome = "belief",
    *,
    formula: str = "price",
    alternative: str | None = None,
    vcov: Vcov | None = None,
    cov_type: str | None = None,
    cov_kwds: Mapping[str, Any] | None = None,
    ssc: SSC = "stata",
    weights: str | None = None,
    statuses: Sequence[str] | None = None,
    reading: Reading | None = None,
    coefficient: Coefficient = "one",
) -> QuantityDemand:
    """Fit demand in quantities to answers to "how many ... at this price?".

    Parameters
    ----------
    panel : Panel
        Runs of a study with ``[question] kind = "quantity"``.
    outcome : str
        ``belief``: the mean of belief over 0..n. ``choice``: the quantity that was said.
    formula : str
        Right-hand side: ``price`` by default, the semi-logarithmic demand ``E q = exp(a + b p)``;
        ``log(price)`` has one elasticity at all prices. Prices of other products are
        ``price_<id>``; variants, arms and fields of personas are columns too.
    alternative : str, optional
        The product whose price is ``price``; the study's focal one by default.
    vcov, cov_type, cov_kwds, ssc
        As in `fit_demand`; of the kinds iid (quasi-Poisson: the variance is proportional to the
        mean), HC0, HC1, CRV1, CRV3, within and score.
    weights : str, optional
        Column of sampling weights; the study's own ``weights`` by default, ``""`` for none.
    statuses, reading, coefficient
        Which runs enter, whose choice and which correction: as in `fit_demand`.

    Returns
    -------
    QuantityDemand

    Raises
    ------
    UsageError
        For a panel of another kind of question, and unknown options.
    DesignError
        Without a usable run; with one price; where nobody buys.

    Notes
    -----
    ``E sum_k k b_k = E q`` since belief is unbiased for the answer, and ``Var(sum_k k b_k) <=
    Var(q)``, since the quantity is drawn from belief: its variance is that of the mean plus the
    mean of the variance of the draw. The Poisson quasi-likelihood is consistent for any law with
    that mean (Gourieroux, Monfort & Trognon 1984).

    Examples
    --------
    >>> import llmdemand as ld
    >>> panel = ld.simulate(ld.load_study("coffee-packs"), "synthetic", runs=20, seed=1)
    >>> found = ld.quantity_demand(panel)
    >>> bool(-0.38 < found.price_sensitivity < -0.29)
    True
    """
    data = answers(
        panel,
        outcome,
        formula,
        "quantity",
        alternative=alternative,
        reading=reading,
        statuses=statuses,
        coefficient=coefficient,
        weights=weights,
    )
    asked = named_vcov(vcov, cov_type, cov_kwds, panel.frame)
    return fit_quantity(data, asked, ssc, panel.study.cluster)


def ologit(
    panel: Panel,
    outcome: Outcome = "belief",
    *,
    formula: str = "price",
    alternative: str | None = None,
    vcov: Vcov | None = None,
    cov_type: str | None = None,
    cov_kwds: Mapping[str, Any] | None = None,
    ssc: SSC = "stata",
    weights: str | None = None,
    statuses: Sequence[str] | None = None,
    reading: Reading | None = None,
    coefficient: Coefficient = "one",
) -> RatingDemand:
    """Fit an ordered logit to ratings, such as purchase intentions at several prices.

    Parameters
    ----------
    panel : Panel
        Runs of a study with ``[question] kind = "rating"``.
    outcome : str
        ``belief``: each point of the scale weighted by belief in it. ``choice``: the point that
        was said.
    formula, alternative, vcov, cov_type, cov_kwds, ssc, weights, statuses, reading, coefficient
        As in `quantity_demand`. ``iid`` is the inverse information, right for choices alone.

    Returns
    -------
    RatingDemand

    Raises
    ------
    UsageError
        For a panel of another kind of question, and unknown options.
    DesignError
        Without a usable run; with one price; where all ratings are the same.

    Notes
    -----
    The log-likelihood is ``sum_i sum_k b_ik log P(y = k | x_i)``. Its scores are linear in belief,
    whose mean is the law of the rating: the estimates tend to those of drawn ratings, with less
    variance.

    Examples
    --------
    >>> import llmdemand as ld
    >>> panel = ld.simulate(ld.load_study("coffee-intention"), "synthetic", runs=20, seed=1)
    >>> found = ld.ologit(panel)
    >>> bool(-0.95 < found.price_sensitivity < -0.65), found.terms[1]
    (True, '1|2')
    """
    data = answers(
        panel,
        outcome,
        formula,
        "rating",
        alternative=alternative,
        reading=reading,
        statuses=statuses,
        coefficient=coefficient,
        weights=weights,
    )
    asked = named_vcov(vcov, cov_type, cov_kwds, panel.frame)
    return fit_rating(data, asked, ssc, panel.study.cluster)


def of_numbers(
    panel: Panel, outcome: Outcome, model: str, formula: str | None, **options: Any
) -> QuantityDemand | RatingDemand:
    """What `fit_demand` does with a study of quantities or ratings.

    Raises
    ------
    UsageError
        For a model of choices, and its options.
    """
    kind = panel.study.kind
    if kind not in NUMBERS:
        asked = {name: what for what, name in NUMBERS.items()}[model]
        raise UsageError(
            f"model {model!r} is for a question of kind {asked!r}, and {panel.study.name!r} asks "
            "for a choice: use logit, or another of its models"
        )
    if model not in ("logit", NUMBERS[kind]):
        raise UsageError(
            f"model {model!r}{nearest(model, list(NUMBERS.values()))}: {panel.study.name!r} asks "
            f"for a {kind}, whose model is {NUMBERS[kind]!r}"
        )
    if options.pop("separation", "warn") == "firth":
        raise UsageError(f"Firth's estimates are of logits of a choice: leave it out for a {kind}")
    door = quantity_demand if kind == "quantity" else ologit
    known = set(door.__kwdefaults__ or {})
    if wrong := [k for k in options if k not in known]:
        raise UsageError(
            f"no option {wrong[0]!r}{nearest(wrong[0], sorted(known))} for a {kind}: known are "
            f"{', '.join(sorted(known))}"
        )
    return door(panel, outcome, formula="price" if formula is None else formula, **options)


def number_precision(
    panel: Panel, *, formula: str = "price", vcov: Vcov | None = None, **options: Any
) -> NumberPrecision:
    """How much more a belief over numbers says than the number that was drawn from it.

    Parameters
    ----------
    panel : Panel
        Runs of a study of quantities or ratings.
    formula, **options
        As in `quantity_demand` and `ologit`, for both fits.
    vcov : str or mapping, optional
        Of both fits. By default ``{"within": "cell"}`` where every cell has two runs or more: what
        further runs of the same design would change; else the design's own.

    Returns
    -------
    NumberPrecision
        Of `compare` for questions of numbers.

    Raises
    ------
    UsageError
        For a panel of choices.

    Examples
    --------
    >>> import llmdemand as ld
    >>> panel = ld.simulate(ld.load_study("coffee-packs"), "synthetic", runs=20, seed=1)
    >>> found = number_precision(panel)
    >>> bool(found.table.loc["price", "worth"] > 2)
    True
    """
    kind = panel.study.kind
    if kind not in NUMBERS:
        raise UsageError(
            f"{panel.study.name!r} asks for a choice: belief against choice is `compare` there"
        )
    door = quantity_demand if kind == "quantity" else ologit
    belief = door(panel, "belief", formula=formula, vcov=vcov, **options)
    choice = door(panel, "choice", formula=formula, vcov=vcov, **options)
    if vcov is None and min(min(f.data.frame.groupby("cell").size()) for f in (belief, choice)) > 1:
        vcov = {"within": "cell"}
        belief = door(panel, "belief", formula=formula, vcov=vcov, **options)
        choice = door(panel, "choice", formula=formula, vcov=vcov, **options)
    cells = panel.frame["cell"].nunique()
    return NumberPrecision(belief, choice, len(panel) / cells, belief.data.notes)
