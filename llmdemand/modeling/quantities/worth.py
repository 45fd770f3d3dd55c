"""Willingness to pay: for buying at all, and for attributes."""

from __future__ import annotations

from typing import Unpack

import numpy as np

from llmdemand.errors import DesignError, UsageError, nearest
from llmdemand.modeling.arrays import Array, Codes
from llmdemand.modeling.likelihood.kernels import Numbers
from llmdemand.modeling.quantities.intervals import Drawn, Fit, Value, coefficients, infer, ready
from llmdemand.modeling.quantities.prices import (
    Price,
    extrapolations,
    free_price,
    not_falling,
    price_column,
    price_name,
)
from llmdemand.modeling.quantities.quantity import Quantity
from llmdemand.modeling.quantities.scene import Scene, linear_in_price, price_range
from llmdemand.modeling.quantities.scenes import At, Average, Scenes, scenes
from llmdemand.modeling.quantities.slopes import slopes
from llmdemand.modeling.sample.designs import ChoiceDesign, Design, place_of
from llmdemand.modeling.substitution.mixed import MixedKernel
from llmdemand.modeling.substitution.moments import vanishes

__all__ = ["willingness_to_pay"]

_STEPS = 100


def willingness_to_pay(
    fit: Fit,
    attribute: str | None = None,
    *,
    price: Price = "price",
    alternative: str | None = None,
    at: At = None,
    average: Average = "mean",
    **drawn: Unpack[Drawn],
) -> Quantity:
    """Price that makes buying and not buying equally good, or what an attribute is worth.

    Parameters
    ----------
    fit, price, at, **drawn
        See `llmdemand.modeling.quantities.responses.shares`. `ci` is also ``fieller``, for
        ratios; the default where the price coefficient is less than 3 standard errors from
        zero. A Fieller set that is no interval is reported as the whole line, with a note.
    attribute : str, optional
        A term, a numeric variable, or an alternative (its constant): ``-(dv / dattribute) /
        (dv / dprice)``, in units of price per unit of attribute; ``-b_attribute / b_price`` in
        a linear model (Train 2009, section 3.2). Without one, in a binary logit, the
        indifference price: the price at which the share is one half.
    alternative : str, optional
        Whose price; needed where alternatives have price coefficients of their own.
    average : str
        ``mean`` over observations, or ``at_means``.

    Returns
    -------
    Quantity
        One row per value of `at`. Notes say where demand does not fall with the price, and
        where the price or amount lies beyond the prices seen.

    Raises
    ------
    DesignError
        For a price or attribute that is not in the model, a separated fit, and where no price
        makes the share one half.
    UsageError
        For unknown options; without an attribute in a model of several alternatives.

    Examples
    --------
    >>> import pandas as pd
    >>> import llmdemand as ld
    >>> df = pd.DataFrame({"price": [1, 2, 3, 4] * 2, "buy": [1, 1, 0, 0, 1, 0, 1, 0]})
    >>> round(float(willingness_to_pay(ld.logit("buy ~ price", df), ci="delta")), 6)
    2.5
    """
    design, sample = ready(fit, "a willingness to pay")
    if attribute is None and not design.outside:
        raise UsageError(
            "willingness_to_pay: name an attribute or an alternative; an indifference price is "
            "that of a binary logit"
        )
    whose, term = _whose(design, attribute, alternative)
    price = price_name(design, price)
    price_column(design, whose or design.alternatives[0], price, sample)
    if attribute is None:
        free_price(design, sample, at, design.alternatives[0], price, "an indifference price")
    where = scenes(
        fit, at, what="a willingness to pay", average=average, price=price, alternative=whose
    )
    if attribute is None:
        return _indifference(fit, where, design.alternatives[0], price, drawn)
    whose = _any_price(where.blocks[0], whose, price)
    worth = [_worth(scene, whose, price, term, attribute) for scene in where.blocks]
    _check_mean(fit, [below for _, below, _ in worth], price)
    value, ratio = _ratio(where.blocks, worth)
    return infer(
        fit,
        value,
        name=f"willingness to pay for {attribute}",
        keys=where.labelled({"attribute": [attribute]}),
        rule=where.rule if ratio is None else "none: the same in every observation",
        unit=f"units of {price}",
        notes=_notes(fit, where, value, whose, price, differences=True),
        ratio=ratio,
        ratio_wanted=True,
        drawn=drawn,
    )


def _check_mean(fit: Fit, below: list[Array], price: str) -> None:
    """Refuse the mean of a ratio whose denominator may be zero: it does not exist."""
    if not isinstance(fit.kernel, MixedKernel):
        return
    law, b = fit.kernel.law, coefficients(fit)
    rows = np.unique(np.vstack(below)[:, : len(law.terms)], axis=0)
    if any(vanishes(law, b, x) for x in rows):
        raise DesignError(
            f"the willingness to pay has no mean: the law of {price!r} has values about zero, over "
            "which it is infinite (Daly, Hess & Train 2012); let it be 'lognormal-', hold it "
            "fixed, or fit with space='wtp'"
        )


def _notes(
    fit: Fit, where: Scenes, value: Value, whose: str, price: str, *, differences: bool
) -> list[str]:
    """Whether a higher price is liked, and what lies beyond the prices seen."""
    b = coefficients(fit)
    steepest = -np.inf
    for scene in where.blocks:
        moved = scene.pull(whose, price).x[scene.rows(whose)]
        of_case = np.real(scene.mean(b, scene.utilities(b, moved), scene.rows(whose)))
        steepest = max(steepest, float(of_case.max(initial=-np.inf)))
    notes = []
    if steepest >= 0:
        notes.append(f"{not_falling(whose, price, steepest)}: this is no willingness to pay")
    found = np.real(value(b)).tolist()
    seen = price_range(where.blocks[0], whose, price)
    return notes + extrapolations(found, *seen, differences=differences)


def _whose(
    design: Design, attribute: str | None, alternative: str | None
) -> tuple[str | None, str | None]:
    """The alternative whose price counts, and the term that is valued (None for a variable)."""
    if alternative is not None:
        place_of(alternative, design.alternatives)
    if attribute is None:
        return design.alternatives[0], None
    if attribute in design.alternatives and f"const:{attribute}" in design.terms:
        attribute = f"const:{attribute}"
    if attribute in design.terms:
        _, colon, of = attribute.rpartition(":")
        if colon and of in design.alternatives and alternative is None:
            alternative = of
        return alternative, attribute
    if attribute in design.variables:
        return alternative, None
    known = (*design.terms, *design.variables)
    if attribute in design.alternatives:
        raise DesignError(
            f"{attribute!r} has no constant of its own: it is the base; name another alternative"
        )
    raise DesignError(
        f"no attribute {attribute!r} in the model{nearest(attribute, known)}: its terms are "
        f"{', '.join(design.terms)}"
    )


def _any_price(scene: Scene, whose: str | None, price: str) -> str:
    """The alternative whose price counts; any one if all have the same coefficients."""
    design = scene.design
    if whose is not None or len(design.alternatives) == 1:
        return whose or design.alternatives[0]
    if isinstance(design, ChoiceDesign):
        moved = [scene.pull(a, price).x[scene.rows(a)] for a in design.alternatives]
        together = np.vstack(moved)
        if np.ptp(together, axis=0).max() <= 1e-9 * np.abs(together).max():
            # The alternative that is in most choice sets.
            return design.alternatives[int(np.argmax([len(m) for m in moved]))]
    raise UsageError(
        "willingness_to_pay: the value of money differs between alternatives or prices; name one "
        f"with alternative={design.alternatives[-1]!r}"
    )


def _worth(
    scene: Scene, whose: str, price: str, term: str | None, attribute: str
) -> tuple[Array, Array, Codes]:
    """Derivatives (n, K) of the utility by the attribute and by the price, and their cases."""
    design, sample = ready(scene.fit, "a willingness to pay")
    rows = scene.rows(whose)
    below = scene.pull(whose, price).x[rows]
    if not below.any():
        raise DesignError(
            f"the utility of {whose!r} does not move with its price (it is the base): name "
            "another alternative"
        )
    if term is not None:
        above = np.zeros_like(below)
        above[:, design.terms.index(term)] = 1.0
    else:
        above = scene.spread(slopes(design, scene.frame, attribute, sample).x)[rows]
    return above, below, scene.case[rows]


def _ratio(
    blocks: tuple[Scene, ...], worth: list[tuple[Array, Array, Codes]]
) -> tuple[Value, tuple[Array, Array] | None]:
    """Mean of ``-above b / below b`` by answer, and the pair if it is one ratio."""

    def value(b: Numbers) -> Numbers:
        parts = []
        for scene, (above, below, case) in zip(blocks, worth, strict=True):
            ratios = -scene.utilities(b, above) / scene.utilities(b, below)
            of_case = scene.mean(b, ratios, scene.start[case])
            parts.append(scene.total(of_case, case) / scene.total(np.ones(len(case)), case))
        return np.concatenate(parts)

    if not all(scene.kernel.plain and not scene.design.offset for scene in blocks):
        return value, None  # a mean of ratios over tastes, or one of more than coefficients
    tops, bottoms = [], []
    for scene, (above, below, case) in zip(blocks, worth, strict=True):
        for k in range(scene.answers):
            mine = scene.answer[case] == k
            c = below[mine]
            if not len(c) or np.ptp(c, axis=0).max() > 1e-9 * np.abs(c).max():
                return value, None
            tops.append(np.average(above[mine], axis=0, weights=scene.weight[case[mine]]))
            bottoms.append(c[0])
    return value, (np.array(tops), np.array(bottoms))


def _indifference(
    fit: Fit,
    where: Scenes,
    alternative: str,
    price: str,
    drawn: Drawn,
) -> Quantity:
    blocks = where.blocks
    low, high = price_range(blocks[0], alternative, price)
    ratio = None
    if all(linear_in_price(scene, alternative, price) for scene in blocks):
        worth = []
        for scene in blocks:
            there, rows = scene.at_price(alternative, price, low), scene.rows(alternative)
            slope = there.pull(alternative, price).x[rows]
            worth.append((there.x[rows] - low * slope, slope, scene.case[rows]))
        value, ratio = _ratio(blocks, worth)
    elif not fit.kernel.plain:
        raise DesignError(
            "no indifference price where tastes vary or alternatives are nested and the price "
            "does not enter linearly: ask for optimal_price, or let it enter as it is"
        )
    else:
        solved: dict[bytes, list[Array]] = {}

        def value(b: Numbers) -> Numbers:
            real = np.real(b).astype(np.float64)
            if real.tobytes() not in solved:
                solved.clear()
                solved[real.tobytes()] = [
                    _root(scene, alternative, price, real, low, high) for scene in blocks
                ]
            parts = []
            for scene, root in zip(blocks, solved[real.tobytes()], strict=True):
                there = scene.at_price(alternative, price, root)
                rows = scene.rows(alternative)
                # At the root a Newton step with complex coefficients is the implicit derivative.
                v = scene.utilities(b, there.x[rows])[0]
                slope = scene.utilities(real, there.pull(alternative, price).x[rows])[0]
                parts.append(scene.total(root - v / slope) / scene.everyone)
            return np.concatenate(parts)

    return infer(
        fit,
        value,
        name="indifference price",
        keys=where.keys,
        rule=where.rule,
        unit=f"units of {price}",
        notes=_notes(fit, where, value, alternative, price, differences=False),
        ratio=ratio,
        ratio_wanted=True,
        drawn=drawn,
    )


def _root(scene: Scene, alternative: str, price: str, b: Array, low: float, high: float) -> Array:
    """Prices at which the utility of buying is zero, case by case."""
    rows = scene.rows(alternative)

    def utility(p: Array) -> Array:
        return np.asarray(scene.utilities(b, scene.at_price(alternative, price, p).x[rows])[0])

    left, right = np.full(len(rows), low), np.full(len(rows), high)
    at_left, at_right = utility(left), utility(right)
    for _ in range(60):
        same = np.sign(at_left) * np.sign(at_right) > 0
        if not same.any():
            break
        wider_left = np.where(same, left / 1.5 if low > 0 else left - (high - low), left)
        wider_right = np.where(same, right * 1.5 if low > 0 else right + (high - low), right)
        try:
            at_left, at_right = utility(wider_left), utility(wider_right)
        except DesignError:
            break
        left, right = wider_left, wider_right
    if (np.sign(at_left) * np.sign(at_right) > 0).any():
        raise DesignError(
            f"no indifference price: from {left.min():g} to {right.max():g} the utility of buying "
            "does not change sign in every observation"
        )
    # False position with Illinois' rule, in all observations at once.
    found = left
    for _ in range(_STEPS):
        flat = at_right == at_left
        step = (right - left) / np.where(flat, 1.0, at_right - at_left)
        before, found = found, np.where(flat, left, left - at_left * step)
        at_found = utility(found)
        if (np.abs(found - before) <= 1e-14 * np.abs(found)).all() or not at_found.any():
            break
        crossed = np.sign(at_found) * np.sign(at_right) <= 0
        left = np.where(crossed, right, left)
        at_left = np.where(crossed, at_right, at_left / 2)
        right, at_right = found, at_found
    return np.asarray(found)
