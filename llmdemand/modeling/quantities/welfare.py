"""Consumer surplus of a change of prices."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Unpack

import numpy as np

from llmdemand.errors import DesignError, UsageError, nearest
from llmdemand.modeling.arrays import Array
from llmdemand.modeling.likelihood.kernels import Numbers
from llmdemand.modeling.quantities.intervals import Drawn, Fit, coefficients, infer, ready
from llmdemand.modeling.quantities.prices import Price, price_column, price_name, with_price
from llmdemand.modeling.quantities.quantity import Quantity
from llmdemand.modeling.quantities.scene import Scene, linear_in_price
from llmdemand.modeling.quantities.scenes import At, Average, scenes
from llmdemand.modeling.quantities.slopes import numbers
from llmdemand.modeling.sample.designs import BinaryDesign, Design, MultinomialDesign

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["consumer_surplus"]

_PANELS, _NODES = 8, 8  # of the integral along a change of prices


def consumer_surplus(
    fit: Fit,
    change: Mapping[str, float],
    *,
    at: At = None,
    price: Price = "price",
    average: Average = "mean",
    **drawn: Unpack[Drawn],
) -> Quantity:
    """Change of consumer surplus per observation when prices change.

    With a linear price the expected maximum utility in units of price, ``[log sum_j exp
    v_j(new) - log sum_j exp v_j(old)] / -b_price`` (Small & Rosen 1981, Econometrica 49; Train
    2009, section 3.5). Otherwise, or where the changed prices have different coefficients, minus
    the integral of demand along the straight line from old to new prices: the Marshallian
    surplus, labelled as such; with several prices it depends on the path.

    Parameters
    ----------
    fit, price, at, **drawn
        See `responses.shares`; `at` holds the old prices, by default those of the sample.
    change : mapping
        New prices by alternative, or by price column in a binary or multinomial logit.
    average : str
        ``mean`` over observations, or ``at_means``.

    Returns
    -------
    Quantity
        In units of price per observation; negative for a loss. The derivative by a price is
        minus the share (Roy's identity).

    Raises
    ------
    DesignError
        Where demand does not fall with the price; for a price whose demand is not in the model.
    """
    design, sample = ready(fit, "a consumer surplus")
    price = price_name(design, price)
    if not isinstance(change, Mapping) or not change:
        raise UsageError("change: give new prices, as in {'Pampers': 30}")
    new = {_alternative(design, sample, str(k), price): v for k, v in change.items()}
    for key, p in new.items():
        if not isinstance(p, int | float | np.number) or not np.isfinite(p):
            raise UsageError(f"change: the new price of {key!r} is {p!r}: give a finite number")
    alone = design.alternatives[0] if design.outside else None
    where = scenes(
        fit, at, what="a consumer surplus", average=average, price=price, alternative=alone
    )
    linear = all(linear_in_price(scene, k, price) for scene in where.blocks for k in new)
    after = [
        scene.changed(_changed(design, scene.frame, new, price, 1.0)) for scene in where.blocks
    ]
    found = [_money(scene, new, price) if linear else None for scene in where.blocks]
    moneys = [m for m in found if m is not None]
    log_sum = len(moneys) == len(found)
    if log_sum:
        _check_falls(where.blocks, moneys, coefficients(fit), price)
    if log_sum:

        def value(b: Numbers) -> Numbers:
            parts = []
            for scene, then, money in zip(where.blocks, after, moneys, strict=True):
                gain = scene.mean(
                    b,
                    (then.log_sums(b) - scene.log_sums(b)) / -scene.utilities(b, money),
                    scene.start,
                )
                parts.append(scene.total(gain) / scene.everyone)
            return np.concatenate(parts)

    else:
        nodes = [_path(scene, new, price) for scene in where.blocks]

        def value(b: Numbers) -> Numbers:
            return np.concatenate(
                [
                    _flow(scene, b, path) / scene.everyone
                    for scene, path in zip(where.blocks, nodes, strict=True)
                ]
            )

    changed = ", ".join(f"{k} to {v:g}" for k, v in new.items())
    kind = "log-sum" if log_sum else "Marshallian, integral of demand"
    notes = []
    if not log_sum and len(new) > 1:
        notes.append("with several prices the integral depends on its path: a straight line")
    return infer(
        fit,
        value,
        name=f"change of consumer surplus ({kind}), {changed}",
        keys=where.keys,
        rule=where.rule,
        unit=f"units of {price} per observation",
        notes=notes,
        drawn=drawn,
    )


def _alternative(design: Design, sample: pd.DataFrame, key: str, price: str) -> str:
    """The alternative whose price is meant."""
    if key in design.alternatives:
        price_column(design, key, price, sample)
        return key
    if isinstance(design, BinaryDesign):
        if key == price:
            price_column(design, design.alternatives[0], price, sample)
            return design.alternatives[0]
        if key in design.variables or f"{price}_{key}" in design.variables:
            raise DesignError(
                f"change: the demand whose price is {key!r} is not in a binary logit, so its "
                "surplus is unknown; fit mnlogit or clogit with all alternatives"
            )
    if isinstance(design, MultinomialDesign) and key.startswith(f"{price}_"):
        name = key.removeprefix(f"{price}_")
        if name in design.alternatives and key in design.variables:
            return name
    known = (*design.alternatives, *([price] if design.outside else []))
    raise DesignError(
        f"change: no alternative {key!r} with a price{nearest(key, known)}: use {', '.join(known)}"
    )


def _changed(
    design: Design, frame: pd.DataFrame, new: Mapping[str, float], price: str, part: float
) -> pd.DataFrame:
    """The prices moved by a part of their change."""
    for name, p in new.items():
        column, _ = price_column(design, name, price, frame)
        old = numbers(frame, column, "price")
        value = p if part == 1 else old + part * (p - old)
        frame = with_price(design, frame, name, price, value)
    return frame


def _money(scene: Scene, new: Mapping[str, float], price: str) -> Array | None:
    """Price regressors by case, (N, K), if all changed prices of a case have the same ones."""
    found = np.full((len(scene.start), scene.x.shape[1]), np.nan)
    for name in new:
        x, rows = scene.pull(name, price).x, scene.rows(name)
        case = scene.case[rows]
        if np.count_nonzero(x.any(axis=1)) > np.count_nonzero(x[rows].any(axis=1)):
            return None  # it moves the utilities of others, too
        gap = np.abs(found[case] - x[rows])
        if gap.size and np.nanmax(gap, initial=0.0) > 1e-9 * np.abs(x).max():
            return None
        found[case] = x[rows]
    # A case without the alternatives has no change; any coefficient will do.
    missing = np.isnan(found[:, 0])
    found[missing] = found[~missing][:1]
    return found


#: Regressors at the nodes, weights of the nodes, and by how much each price moves.
_Path = tuple[Array, Array, list[tuple[str, Array]]]


def _path(scene: Scene, new: Mapping[str, float], price: str) -> _Path:
    """Where demand is evaluated: panels of Gauss-Legendre nodes along the change."""
    nodes, weights = np.polynomial.legendre.leggauss(_NODES)
    parts = (np.arange(_PANELS)[:, None] + (nodes + 1) / 2).ravel() / _PANELS
    x = scene.regressors([_changed(scene.design, scene.frame, new, price, part) for part in parts])
    moved = []
    for name, p in new.items():
        column, _ = price_column(scene.design, name, price, scene.frame)
        moved.append((name, p - scene.own(numbers(scene.frame, column, "price"))))
    return x, np.tile(weights / 2 / _PANELS, _PANELS), moved


def _flow(scene: Scene, b: Numbers, path: _Path) -> Numbers:
    """Minus the integral of demand over the change of prices, summed by answer."""
    total: Numbers = np.zeros(scene.answers)
    x, weights, moved = path
    for there, weight in zip(x, weights, strict=True):
        s = scene.shares(b, there)
        for name, by in moved:
            total = total - weight * scene.summed(s * by, name)
    return total


def _check_falls(blocks: tuple[Scene, ...], moneys: list[Array], b: Array, price: str) -> None:
    highest = max(float(np.max(s.utilities(b, m))) for s, m in zip(blocks, moneys, strict=True))
    if highest >= 0:
        raise DesignError(
            f"a consumer surplus needs utilities that fall with {price!r}: they change by "
            f"{highest:.3g} per unit"
        )
