"""Average marginal effects of every variable, as statsmodels' and Stata's margins."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, Unpack

import numpy as np

from llmdemand.errors import DesignError, UsageError, choose, nearest
from llmdemand.modeling.arrays import Array
from llmdemand.modeling.estimation.fit import Fit as Estimated
from llmdemand.modeling.likelihood.kernels import Numbers
from llmdemand.modeling.quantities.effects import of_alternatives
from llmdemand.modeling.quantities.intervals import Drawn, Fit, Value, infer, ready
from llmdemand.modeling.quantities.quantity import Quantity
from llmdemand.modeling.quantities.responses import mean_shares
from llmdemand.modeling.quantities.scene import Scene
from llmdemand.modeling.quantities.scenes import Scenes, one_case, scenes
from llmdemand.modeling.quantities.slopes import numbers, slopes
from llmdemand.modeling.sample.designs import Design

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["MarginsAt", "Method", "get_margeff"]

MarginsAt = Literal["overall", "mean", "median", "zero"]
Method = Literal["dydx", "eyex", "dyex", "eydx"]

#: What a method is called, its unit, and how its derivative is written.
_METHODS = {
    "dydx": ("marginal effect", "probability", "d/dx"),
    "eyex": ("elasticity", "% per %", "dlny/dlnx"),
    "dyex": ("semi-elasticity", "probability per unit of log x", "dy/dlnx"),
    "eydx": ("semi-elasticity", "log share per unit", "dlny/dx"),
}


def get_margeff(
    fit: Fit,
    at: MarginsAt = "overall",
    method: Method = "dydx",
    *,
    dummy: bool | None = None,
    by: str | None = None,
    **drawn: Unpack[Drawn],
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
    fit, **drawn
        See `llmdemand.modeling.quantities.responses.shares`.
    at : str
        ``overall``: mean over observations. ``mean``, ``median``, ``zero``: of one case, all of
        whose variables have these values.
    method : str
        ``dydx``; ``eyex``, ``d ln s / d ln z``; ``dyex``, ``ds / d ln z``; ``eydx``, ``d ln s /
        dz``, each taken in every observation and then averaged. Discrete changes are of ``ln s``
        for ``eydx``; ``eyex`` and ``dyex`` have none.
    dummy : bool, optional
        Whether 0/1 variables change from 0 to 1, or else are numbers with a derivative. By
        default they do, but for ``eyex`` and ``dyex``.
    by : str, optional
        A column of the sample (variable or cluster): effects within each of its values, as
        Stata's ``margins, over()``.

    Returns
    -------
    Quantity
        Rows by the values of `by`, ``variable``, ``change`` (``d/dx``, or the two levels) and
        ``alternative``; of a binary logit the share of buying alone.

    Raises
    ------
    DesignError
        For a case of means, medians or zeros where variables are categories or choice sets
        differ; where no variable has an effect of the kind.
    UsageError
        For unknown options, ``dummy=True`` with ``eyex`` or ``dyex``.

    Examples
    --------
    >>> import pandas as pd
    >>> import llmdemand as ld
    >>> df = pd.DataFrame({"price": [1, 2, 3, 4] * 2, "buy": [1, 1, 0, 0, 1, 0, 1, 0]})
    >>> get_margeff(ld.logit("buy ~ price", df)).table["change"].tolist()
    ['d/dx']
    """
    choose(at, MarginsAt, "at")
    choose(method, Method, "method")
    design, sample = ready(fit, "a marginal effect")
    if dummy and "ex" in method:
        raise UsageError(f"method={method!r} is of relative changes, which 0/1 variables lack")
    discrete = "ex" not in method if dummy is None else dummy
    name, unit, written = _METHODS[method]
    shown = list(design.alternatives)
    effects: list[Value] = []
    rows: list[tuple[Any, ...]] = []
    left: list[str] = []
    for label, part in _parts(fit, sample, by):
        where = _where(part, at)
        scene = where.blocks[0]
        for variable in design.variables:
            own = of_alternatives(design, sample, variable)
            found = _derivative(design, scene, sample, variable, discrete)
            if found is not None:
                effects.append(_slope(scene, variable, found, shown, own, method))
                rows += [(*label, variable, written, a) for a in shown]
                continue
            if "ex" in method:
                left.append(f"{variable} has levels, and no relative change: left out")
                continue
            levels = _levels(sample, variable)
            for level in levels[1:]:
                effects.append(_change(scene, variable, levels[0], level, shown, own, method))
                change = f"{_text(levels[0])} to {_text(level)}"
                rows += [(*label, variable, change, a) for a in shown]
    if not effects:
        raise DesignError(f"method={method!r}: no variable has a relative change; use 'dydx'")

    def value(b: Numbers) -> Numbers:
        return np.concatenate([effect(b) for effect in effects])

    import pandas as pd

    columns = [*([by] if by else []), "variable", "change", "alternative"]
    return infer(
        fit,
        value,
        name=name,
        keys=pd.DataFrame(rows, columns=columns),
        rule=where.rule if at in ("overall", "mean") else _RULES[at],
        unit=unit,
        notes=list(dict.fromkeys(left)),
        drawn=drawn,
    )


_RULES = {
    "median": "none: at the sample medians of all variables",
    "zero": "none: where all variables are zero",
}


def _parts(fit: Any, sample: pd.DataFrame, by: str | None) -> list[tuple[tuple[Any, ...], Any]]:
    """The fit with all of its sample, or with that of each value of a column."""
    if by is None:
        return [((), fit)]
    known = [str(c) for c in sample.columns]
    if by not in known or not isinstance(fit, Estimated):
        raise UsageError(
            f"by={by!r}{nearest(by, known)}: the sample of the fit has {', '.join(known)}; add it "
            "to the formula, or cluster by it"
        )
    parts = []
    for level in _levels(sample, by):
        rows = (sample[by] == level).to_numpy()
        data = fit.data
        case = rows if len(rows) == len(fit.weights) else rows[data.start]  # type: ignore[attr-defined]
        frame = sample[rows].reset_index(drop=True)
        parts.append(((level,), replace(fit, frame=frame, data=data.weighted(case * 1.0))))
    return parts


def _where(fit: Fit, at: MarginsAt) -> Scenes:
    what = "a marginal effect"
    if at in ("overall", "mean"):
        return scenes(fit, what=what, average="mean" if at == "overall" else "at_means")
    design, sample = ready(fit, what)
    option = "at='median' or 'zero'"
    case = one_case(design, sample, fit.weights, _medians, option, "at='overall'")
    if at == "zero":
        case = case.assign(**dict.fromkeys(design.variables, 0.0))
    return scenes(fit, case, what=what)


def _medians(values: Array, weight: Array) -> Array:
    """The medians of columns of values that stand for so many each."""
    return np.array([_median(column, weight) for column in values.T])


def _median(values: Array, weight: Array) -> float:
    order = np.argsort(values)
    up = np.cumsum(weight[order]) / weight.sum()
    # Where just half of the weight lies below, the mean of the two in the middle.
    middle = [int(np.searchsorted(up, 0.5 + e)) for e in (-1e-12, 1e-12)]
    return float(values[order[middle]].mean())


def _derivative(
    design: Design, scene: Scene, sample: pd.DataFrame, variable: str, discrete: bool
) -> Array | None:
    """Derivatives of the regressors; None for levels, and for 0/1 variables if `discrete`."""
    column = sample[variable]
    if column.dtype.kind not in "fiu" or (discrete and column.isin([0, 1]).all()):
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


def _slope(
    scene: Scene, variable: str, slope: Array, shown: list[str], own: bool, method: Method
) -> Value:
    """Mean derivative of the shares or of their logarithms."""
    relative, one = method.startswith("ey"), np.ones(len(slope))
    each = scene.own(numbers(scene.frame, variable, "variable")) if "ex" in method else one

    def value(b: Numbers) -> Numbers:
        whole = None if own else scene.responses(b, slope)
        effects = []
        for name in shown:
            r = scene.rows(name)
            if whole is None:
                # What is an alternative's own moves its utility alone.
                moved = np.zeros_like(slope)
                moved[r] = slope[r]
            s, by = scene.responses(b, moved) if whole is None else whole
            effect = (by if relative else s * by) * each
            # A share that is not there has no logarithm: a mean over the cases that have it.
            over = scene.summed(one, name) if relative else scene.everyone
            effects.append(scene.summed(effect, name) / over)
        return np.concatenate(effects)

    return value


def _change(
    scene: Scene, variable: str, old: Any, new: Any, shown: list[str], own: bool, method: Method
) -> Value:
    """Change of the mean shares, or of mean log shares, from one level to another."""
    mean = _mean_logs if method == "eydx" else mean_shares
    values = scene.frame[variable]

    def at(level: Any, name: str | None) -> Scene:
        if name is None:
            return scene.changed(scene.frame.assign(**{variable: level}))
        moved = values.to_numpy(copy=True)
        moved[scene.rows(name)] = level
        return scene.changed(scene.frame.assign(**{variable: moved}))

    whose: list[str | None] = [*shown] if own else [None]
    pairs = [(at(old, one), at(new, one), shown if one is None else [one]) for one in whose]

    def value(b: Numbers) -> Numbers:
        parts = [mean(after, b, asked) - mean(before, b, asked) for before, after, asked in pairs]
        return np.concatenate([part.ravel() for part in parts])

    return value


def _mean_logs(scene: Scene, b: Numbers, asked: list[str]) -> Numbers:
    """Mean log shares by answer and alternative, over the cases that have it."""
    s, columns = scene.shares(b), []
    for r in (scene.rows(a) for a in asked):
        case = scene.case[r]
        columns.append(scene.total(np.log(s[r]), case) / scene.total(np.ones(len(r)), case))
    return np.column_stack(columns)
