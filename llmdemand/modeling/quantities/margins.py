"""Average marginal effects of every variable, as statsmodels' and Stata's margins."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from llmdemand.errors import DesignError, choose
from llmdemand.modeling.arrays import Array
from llmdemand.modeling.likelihood.kernels import Numbers
from llmdemand.modeling.quantities.intervals import CI, Fit, Value, infer, ready
from llmdemand.modeling.quantities.quantity import Quantity
from llmdemand.modeling.quantities.responses import mean_shares
from llmdemand.modeling.quantities.scene import Scene
from llmdemand.modeling.quantities.scenes import scenes
from llmdemand.modeling.quantities.slopes import slopes
from llmdemand.modeling.sample.designs import ChoiceDesign, Design

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["MarginsAt", "get_margeff"]

MarginsAt = Literal["overall", "mean"]


def get_margeff(
    fit: Fit,
    at: MarginsAt = "overall",
    *,
    ci: CI | None = None,
    alpha: float = 0.05,
    reps: int = 1000,
    seed: int = 1,
) -> Quantity:
    """Marginal effect of every variable on the mean share of every alternative.

    Variables, not terms: a price that enters by ``log(price)`` and an interaction has one effect.
    Numeric variables: the mean of ``ds_ij / dz_i``. 0/1 variables: the discrete change from 0 to
    1, as statsmodels' ``dummy=True`` and Stata's factor variables. Categories, text, and numbers
    that enter by levels: the discrete change from the first level. In a conditional logit a
    variable that differs between the alternatives of a case has the effect of each alternative's
    own value on its own share; one that does not is moved for the whole case.

    Parameters
    ----------
    fit, ci, alpha, reps, seed
        See `llmdemand.modeling.quantities.responses.shares`.
    at : str
        ``overall``: mean over observations. ``mean``: at the sample means.

    Returns
    -------
    Quantity
        Rows by ``variable``, ``change`` (``d/dx``, or the two levels) and ``alternative``; of a
        binary logit the share of buying alone.

    Examples
    --------
    >>> import pandas as pd
    >>> import llmdemand as ld
    >>> df = pd.DataFrame({"price": [1, 2, 3, 4] * 2, "buy": [1, 1, 0, 0, 1, 0, 1, 0]})
    >>> get_margeff(ld.logit("buy ~ price", df)).table["change"].tolist()
    ['d/dx']
    """
    choose(at, MarginsAt, "at")
    design, sample = ready(fit, "a marginal effect")
    average: Any = "mean" if at == "overall" else "at_means"
    where = scenes(fit, what="a marginal effect", average=average)
    scene = where.blocks[0]
    shown = list(design.alternatives)
    effects: list[Value] = []
    rows = []
    for variable in design.variables:
        own = isinstance(design, ChoiceDesign) and _varies(scene, variable)
        found = _derivative(design, scene, sample, variable)
        if found is not None:
            effects.append(_Slope(scene, found, shown, own))
            rows += [(variable, "d/dx", a) for a in shown]
            continue
        levels = _levels(sample, variable)
        for level in levels[1:]:
            effects.append(_Change(scene, variable, levels[0], level, shown, own))
            rows += [(variable, f"{_text(levels[0])} to {_text(level)}", a) for a in shown]

    def value(b: Numbers) -> Numbers:
        return np.concatenate([effect(b) for effect in effects])

    import pandas as pd

    return infer(
        fit,
        value,
        name="marginal effect",
        keys=pd.DataFrame(rows, columns=["variable", "change", "alternative"]),
        rule=where.rule,
        unit="probability",
        ci=ci,
        alpha=alpha,
        reps=reps,
        seed=seed,
    )


def _varies(scene: Scene, variable: str) -> bool:
    """Whether a variable differs between the alternatives of a case."""
    values = scene.frame[variable].to_numpy()
    return bool((values != values[scene.start][scene.case]).any())


def _derivative(design: Design, scene: Scene, sample: pd.DataFrame, variable: str) -> Array | None:
    """Derivatives of the regressors; None for 0/1 variables and levels."""
    column = sample[variable]
    if column.dtype.kind not in "fiu" or column.isin([0, 1]).all():
        return None
    try:
        return scene.spread(slopes(design, scene.frame, variable, sample).x)
    except DesignError:
        return None  # it enters by its levels


def _levels(sample: pd.DataFrame, variable: str) -> list[Any]:
    column = sample[variable]
    categories = getattr(column.dtype, "categories", None)
    if categories is None:
        return sorted(column.unique())
    return [c for c in categories if (column == c).any()]


def _text(level: Any) -> str:
    return f"{level:g}" if isinstance(level, float) else str(level)


class _Slope:
    """Mean derivative of the shares."""

    def __init__(self, scene: Scene, slope: Array, shown: list[str], own: bool) -> None:
        self._scene, self._slope, self._shown, self._own = scene, slope, shown, own

    def __call__(self, b: Numbers) -> Numbers:
        scene, everyone = self._scene, self._scene.total(np.ones(len(self._scene.start)))
        whole = None if self._own else scene.responses(b, self._slope)
        effects = []
        for r in (scene.rows(a) for a in self._shown):
            if whole is None:
                # What is an alternative's own moves its utility alone.
                moved = np.zeros_like(self._slope)
                moved[r] = self._slope[r]
            s, by = scene.responses(b, moved) if whole is None else whole
            effects.append(scene.total(s[r] * by[r], scene.case[r]) / everyone)
        return np.concatenate(effects)


class _Change:
    """Change of the mean shares from one level to another."""

    def __init__(
        self, scene: Scene, variable: str, old: Any, new: Any, shown: list[str], own: bool
    ) -> None:
        self._shown, self._own = shown, own
        self._pairs = []
        for name in shown if own else [None]:
            pair = []
            for level in (old, new):
                values = scene.frame[variable]
                if name is None:
                    set_ = scene.frame.assign(**{variable: level})
                else:
                    moved = values.to_numpy(copy=True)
                    moved[scene.rows(name)] = level
                    set_ = scene.frame.assign(**{variable: moved})
                pair.append(scene.changed(set_))
            self._pairs.append(pair)

    def __call__(self, b: Numbers) -> Numbers:
        shown = [[a] for a in self._shown] if self._own else [self._shown]
        return np.concatenate(
            [
                (mean_shares(after, b, names) - mean_shares(before, b, names)).ravel()
                for (before, after), names in zip(self._pairs, shown, strict=True)
            ]
        )
