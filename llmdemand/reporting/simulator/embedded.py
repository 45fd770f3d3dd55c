"""A fitted demand as numbers for a page: cases, regressors, tastes, their derivatives, covariance.

Everything that a page needs of a model is linear up to its kernel: regressors move with controls,
utilities are ``x' beta_d`` at D tastes, shares are those of a logit or of a tree of nests, and are
averaged over tastes and cases. Tastes go in as they are at the estimates, with their derivatives by
the coefficients, so that the page needs to know no law of tastes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from llmdemand.errors import DesignError
from llmdemand.modeling.arrays import Array
from llmdemand.modeling.likelihood.kernels import Kernel, LogitKernel, Numbers
from llmdemand.modeling.quantities.intervals import Fit, coefficients, gradient, ready
from llmdemand.modeling.quantities.prices import names, price_column
from llmdemand.modeling.quantities.scene import Scene
from llmdemand.modeling.quantities.scenes import scenes
from llmdemand.modeling.sample.designs import ChoiceDesign
from llmdemand.modeling.substitution.mixed import MixedKernel
from llmdemand.modeling.substitution.nested import NestedKernel
from llmdemand.reporting.simulator.controls import Control, Moves, controls, moves_of

__all__ = ["Words", "embedded"]

_WORK = 40_000  # rows times tastes that a page computes with at once
_DRAWS, _LEAST_DRAWS = 2_000, 200  # tastes
_NUMBERS = 120_000  # regressors


@dataclass(frozen=True)
class Words:
    """What things are called on the page.

    Attributes
    ----------
    labels : mapping
        Alternatives by id; those left out are called by their id.
    unit : str
        Of prices.
    focal : str
        The alternative that is the reader's own; the first that has a price by default.
    """

    labels: Mapping[str, str]
    unit: str = "units of price"
    focal: str = ""


def embedded(
    fit: Fit,
    words: Words | None = None,
    *,
    price: str = "price",
    cost: float | None = None,
    alpha: float = 0.05,
) -> dict[str, Any]:
    """What a page needs to answer as the fit does.

    Parameters
    ----------
    fit : Fit
        A logit, conditional, multinomial, nested, mixed or latent class logit with a formula.
    words : Words, optional
        What things are called.
    price : str
        What the price column is called.
    cost : float, optional
        Unit cost to begin with; none is assumed.
    alpha : float
        One minus the level of the bands.

    Returns
    -------
    dict
        Of JSON types. Shares at any values of the controls are those of ``fit.shares``, over the
        cases of the sample; ``notes`` say where cases or draws are fewer than the fit's.

    Raises
    ------
    DesignError
        For separated fits, fits from arrays, without a price, or with controls that interact.

    Examples
    --------
    >>> import pandas as pd
    >>> import llmdemand as ld
    >>> df = pd.DataFrame({"price": [1, 2, 3, 4] * 2, "buy": [1, 1, 0, 0, 1, 0, 1, 0]})
    >>> found = embedded(ld.logit("buy ~ price", df))
    >>> found["names"], [c["name"] for c in found["controls"]]
    (['buy', 'outside'], ['price'])
    """
    from scipy import stats

    said = words or Words({})
    design, _ = ready(fit, "a market simulator")
    scene, known, moved, notes = _scene(fit, controls(fit, price), price)
    small, more = _with_fewer_draws(fit, len(scene.labels))
    scene = replace(scene, fit=small, _kept={})
    b = coefficients(small)
    tastes = _tastes(small.kernel, b, scene)
    focal = next(c.alternative for c in known if c.price)
    if said.focal in names(design) and said.focal in [c.alternative for c in known if c.price]:
        focal = said.focal
    labels = [said.labels.get(a, a) for a in names(design)]
    return {
        "names": list(names(design)),
        "labels": labels,
        "focal": names(design).index(focal),
        "unit": said.unit,
        "outcome": fit.outcome,
        "cost": cost,
        "level": 1 - alpha,
        "t": float(stats.t.ppf(1 - alpha / 2, fit.df)),
        "cov": _plain(np.asarray(fit.cov, np.float64)),
        "plain": small.kernel.plain,
        "start": scene.start.tolist(),
        "labelled": scene.labels.tolist(),
        "weight": scene.weight.tolist(),
        "x": _plain(scene.x),
        "controls": [
            _control(c, m, small, dict(zip(names(design), labels, strict=True)))
            for c, m in zip(known, moved, strict=True)
        ],
        **tastes,
        "notes": [*notes, *more, *_still(fit)],
    }


def _plain(values: Any) -> Any:
    return np.asarray(values).tolist()


def _with_fewer_draws(fit: Fit, rows: int) -> tuple[Any, list[str]]:
    """The fit with as many draws of tastes as a page computes with."""
    kernel: Any = fit.kernel
    most = min(_DRAWS, max(_LEAST_DRAWS, _WORK // rows))
    if not isinstance(kernel, MixedKernel) or kernel.tastes <= most:
        return fit, []
    fewer = replace(kernel, features=np.ascontiguousarray(kernel.features[:, :most]))
    return _Other(fit, fewer), [
        f"tastes are the first {most:,} of {kernel.tastes:,} draws: shares differ from the "
        "fit's by simulation error"
    ]


class _Other:
    """A fit with another kernel."""

    def __init__(self, fit: Fit, kernel: Kernel) -> None:
        self._fit, self.kernel = fit, kernel

    def __getattr__(self, name: str) -> Any:
        return getattr(self._fit, name)


def _scene(
    fit: Fit, known: list[Control], price: str
) -> tuple[Scene, list[Control], list[Moves], list[str]]:
    """The distinct cases at starting prices, and what controls do to them."""
    design, sample = ready(fit, "a market simulator")
    prices = [c for c in known if c.price]
    at = {
        c.alternative
        if isinstance(design, ChoiceDesign)
        else price_column(design, c.alternative, price, sample)[0]: c.start
        for c in prices
    }
    whole = scenes(fit, at, what="a market simulator", price=price).blocks
    scene, notes = _fewer_cases(whole, fit.kernel.tastes)
    try:
        return scene, known, moves_of(scene, known), notes
    except DesignError as error:
        if len(prices) == len(known):
            raise
        left = ", ".join(dict.fromkeys(c.column for c in known if not c.price))
        notes.append(f"{left} cannot be moved here ({error}): as in the sample")
        return scene, prices, moves_of(scene, prices), notes


def _still(fit: Fit) -> list[str]:
    return [
        "bands have no width where the data hold no noise "
        f"({found.why}), not because they are precise"
        for found in fit.quiet[:1]
    ]


def _fewer_cases(blocks: tuple[Scene, ...], tastes: int) -> tuple[Scene, list[str]]:
    """One scene of the cases that differ; a random sample of them where they are many."""
    if len(blocks) > 1:
        raise DesignError("the sample has too many distinct cases for a page")
    scene = _merged(blocks[0])
    rows, cases = len(scene.labels), len(scene.start)
    most = min(_WORK // min(tastes, _LEAST_DRAWS), _NUMBERS // max(1, scene.x.shape[1]))
    if rows <= most:
        return scene, []
    count = max(1, most * cases // rows)
    draw = np.random.default_rng(1)
    chosen = np.sort(draw.choice(cases, count, replace=False))
    return _subset(scene, chosen), [
        f"shares are means over a random {count:,} of the sample's {cases:,} distinct cases "
        "(seed 1)"
    ]


def _merged(scene: Scene) -> Scene:
    """Cases that hold the same values at these prices as one, with the sum of their weights."""
    columns, each = list(scene.design.variables), _per_row(scene)
    made = scene.frame.groupby(columns, sort=False, observed=True, dropna=False)
    code = np.repeat(made.ngroup().to_numpy(), each)
    first: dict[bytes, int] = {}
    place = []
    ends = np.append(scene.start[1:], len(scene.labels))
    for case, (begin, end) in enumerate(zip(scene.start, ends, strict=True)):
        known = scene.labels[begin:end].tobytes() + code[begin:end].tobytes()
        place.append(first.setdefault(known, case))
    kept, group = np.unique(place, return_inverse=True)
    found = _subset(scene, kept)
    return replace(found, weight=np.bincount(group, scene.weight).astype(np.float64), _kept={})


def _per_row(scene: Scene) -> int:
    """Rows of the scene for each row of its frame."""
    return len(scene.labels) // len(scene.frame)


def _subset(scene: Scene, chosen: Any) -> Scene:
    keep = np.isin(scene.case, chosen)
    size = np.diff(scene.start, append=len(scene.labels))[chosen]
    return replace(
        scene,
        frame=scene.frame[keep[:: _per_row(scene)]].reset_index(drop=True),
        weight=scene.weight[chosen],
        answer=scene.answer[chosen],
        x=scene.x[keep],
        start=np.concatenate([[0], np.cumsum(size)[:-1]]).astype(np.intp),
        labels=scene.labels[keep],
        members=None if scene.members is None else scene.members[keep],
        _kept={},
    )


def _tastes(kernel: Kernel, b: Array, scene: Scene) -> dict[str, Any]:
    """Tastes, their weights and dissimilarities, each with its derivatives by the coefficients."""
    width = scene.x.shape[1] - int(scene.design.offset)
    unit = np.eye(width)

    def beta(values: Numbers) -> Numbers:
        return np.asarray(kernel.utilities(values, unit))  # (D, K)

    found = beta(b)
    slopes = gradient(lambda v: beta(v).ravel(), b).reshape(*found.shape, len(b))
    jacobian = []
    for p in range(len(b)):
        for k in np.flatnonzero(slopes[:, :, p].any(axis=0)).tolist():
            jacobian.append([p, k, _plain(slopes[:, k, p])])
    if scene.design.offset:
        found = np.column_stack([found, np.ones(len(found))])
    out: dict[str, Any] = {"beta": _plain(found), "jacobian": jacobian}
    if isinstance(kernel, NestedKernel):
        return out | _tree(kernel, b)
    if not isinstance(kernel, LogitKernel):
        raise DesignError(f"the page knows no {type(kernel).__name__}")
    if scene.members is None:
        return out
    each = np.eye(kernel.tastes)[:, :, None] * np.ones(len(scene.start))  # (D, D, N)
    members = scene.members[scene.start]

    def pi(values: Numbers) -> Numbers:
        return np.stack([kernel.mean(values, each[d], members) for d in range(kernel.tastes)])

    by = gradient(lambda v: pi(v).ravel(), b)
    moving = np.flatnonzero(by.any(axis=0)).tolist()
    return out | {
        "pi": _plain(np.real(pi(b))),
        "pis": [[p, _plain(by[:, p].reshape(kernel.tastes, -1))] for p in moving],
    }


def _tree(kernel: NestedKernel, b: Array) -> dict[str, Any]:
    tree = kernel.tree
    first = len(b) - len(tree.terms)
    return {
        "tree": {
            "parents": list(tree.parents),
            "members": list(tree.members),
            "lambda": _plain(tree.dissimilarities(b[first:])[:-1]),
            # Coefficient of each nest's dissimilarity; -1 where it is fixed.
            "slots": [s if s < 0 else first + s for s in tree.slots],
        }
    }


def _control(control: Control, move: Moves, fit: Fit, labels: Mapping[str, str]) -> dict[str, Any]:
    design, _ = ready(fit, "a market simulator")
    low, high = control.reach
    shown: dict[str, Any] = {
        "name": control.column,
        "of": names(design).index(control.alternative) if control.alternative else None,
        "label": labels[control.alternative] if control.alternative else control.column,
        "price": control.price,
        "seen": list(control.seen),
        "reach": [low, high],
        "start": control.start if control.price else None,
        "rows": move.rows.tolist(),
    }
    if move.slope is not None:
        return shown | {"base": _plain(move.base[move.rows]), "slope": _plain(move.slope)}
    assert move.grid is not None and move.x is not None
    ends = [float(move.grid[0]), float(move.grid[-1])]
    return shown | {"reach": ends, "grid": _plain(move.grid), "x": _plain(move.x)}
