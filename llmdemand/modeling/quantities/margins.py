"""Marginal effects: of a price or a variable, and of all variables as Stata's margins."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from llmdemand.errors import DesignError, UsageError, choose, nearest
from llmdemand.modeling.arrays import Array
from llmdemand.modeling.likelihood.kernels import Numbers
from llmdemand.modeling.quantities.intervals import CI, Fit, Value, infer, ready
from llmdemand.modeling.quantities.prices import Price, asked_for
from llmdemand.modeling.quantities.quantity import Quantity
from llmdemand.modeling.quantities.responses import Kind, mean_shares, price_responses
from llmdemand.modeling.quantities.scene import Scene
from llmdemand.modeling.quantities.scenes import At, Average, scenes
from llmdemand.modeling.quantities.slopes import slopes
from llmdemand.modeling.sample.designs import ChoiceDesign, Design

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["MarginsAt", "get_margeff", "marginal_effects"]

MarginsAt = Literal["overall", "mean"]


def marginal_effects(
    fit: Fit,
    variable: str | At = None,
    *,
    at: At = None,
    kind: Kind = "own",
    price: Price = "price",
    alternative: str | None = None,
    rival: str | None = None,
    average: Average = "mean",
    ci: CI | None = None,
    alpha: float = 0.05,
    reps: int = 1000,
    seed: int = 1,
) -> Quantity:
    """Change of mean shares per unit of price: ``dS_j / dp_k = sum_i w_i ds_ij/dp_ik / sum w_i``.

    Parameters
    ----------
    fit, at, kind, price, alternative, rival, ci, alpha, reps, seed
        See `llmdemand.modeling.quantities.responses.elasticity`.
    variable : str, optional
        Any column of numbers in the model instead of the price, as ``"income"``: what moves is
        the value of the whole case, so every share responds; an attribute that differs between
        the alternatives of a case moves as prices do. Levels and text have no derivative:
        compare them with `shares`. What is no string here is `at`.
    average : str
        ``mean`` over observations or ``at_means``.

    Returns
    -------
    Quantity
        In probability per unit of price or of the variable. Over all shares, not buying
        included, the effects of one price sum to zero, and so do those of a variable.

    Examples
    --------
    >>> import pandas as pd
    >>> import llmdemand as ld
    >>> df = pd.DataFrame({"income": [1, 2, 3, 4] * 2, "buy": [1, 1, 0, 0, 1, 0, 1, 0]})
    >>> fit = ld.logit("buy ~ income", df)
    >>> p = fit.predict()
    >>> found = marginal_effects(fit, "income")
    >>> bool(abs(float(found) - fit.params["income"] * (p * (1 - p)).mean()) < 1e-9)
    True
    """
    if variable is not None and not isinstance(variable, str):
        if at is not None:
            raise UsageError(f"variable={variable!r}: give the name of a column")
        variable, at = None, variable
    if average == "share_weighted":
        raise UsageError("average='share_weighted' is for elasticities: effects use 'mean'")
    if variable is not None:
        design, sample = ready(fit, "a marginal effect")
        if variable not in design.variables:
            raise DesignError(
                f"no variable {variable!r} in the model{nearest(variable, design.variables)}: it "
                f"has {', '.join(design.variables)}"
            )
        if not _of_alternatives(design, sample, variable):
            if kind != "own" or rival is not None:
                raise UsageError(
                    f"{variable!r} belongs to the case and moves all shares at once: leave out "
                    "kind and rival"
                )
            return _of_case(fit, variable, at, alternative, average, ci, alpha, reps, seed)
        price = variable
    return price_responses(
        fit, at, False, kind, price, alternative, rival, average, ci, alpha, reps, seed
    )


def _of_alternatives(design: Design, sample: pd.DataFrame, variable: str) -> bool:
    """Whether a variable differs between the alternatives of a case."""
    if not isinstance(design, ChoiceDesign):
        return False
    order, start = design.cases(sample)
    values = sample[variable].to_numpy()[order]
    return bool((values != np.repeat(values[start], np.diff(start, append=len(order)))).any())


def _of_case(
    fit: Fit,
    variable: str,
    at: At,
    alternative: str | None,
    average: Average,
    ci: CI | None,
    alpha: float,
    reps: int,
    seed: int,
) -> Quantity:
    """Derivatives of the mean shares by a variable of the case."""
    design, sample = ready(fit, "a marginal effect")
    asked = asked_for(design, alternative) if alternative else list(design.alternatives)
    where = scenes(fit, at, what="a marginal effect", average=average)
    moved = {
        id(scene): scene.spread(slopes(design, scene.frame, variable, sample).x)
        for scene in where.blocks
    }

    def of_block(scene: Scene, b: Numbers) -> Numbers:
        s, response = scene.responses(b, moved[id(scene)])
        rows = [scene.rows(a) for a in asked]
        sums = [scene.total((s * response)[r], scene.case[r]) for r in rows]
        return np.column_stack(sums) / scene.total(np.ones(len(scene.start)))[:, None]

    return infer(
        fit,
        where.value(of_block),
        name=f"marginal effect of {variable}",
        keys=where.labelled({"alternative": asked}),
        rule=where.rule,
        unit=f"probability per unit of {variable}",
        ci=ci,
        alpha=alpha,
        reps=reps,
        seed=seed,
    )


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
        own = _of_alternatives(design, sample, variable)
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
