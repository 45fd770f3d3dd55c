"""Part-worths from a panel of a choice experiment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np

from llmdemand.core.panel import Panel
from llmdemand.core.shards.shards import AnyPanel, drawn_note, sampled
from llmdemand.errors import DesignError, UsageError, nearest
from llmdemand.modeling.estimation.options import Separation, Vcov
from llmdemand.modeling.inference.hypotheses import wald_test
from llmdemand.modeling.models.demand import Demand, Outcome, fit_demand
from llmdemand.modeling.outcomes.frames import Reading, market_frame, outcomes
from llmdemand.modeling.partworths.holdouts import Holdouts, scored
from llmdemand.modeling.partworths.levels import LevelMap, formula_of, level_map
from llmdemand.modeling.partworths.result import PartWorths
from llmdemand.modeling.quantities.intervals import Drawn, coefficients, infer, ready
from llmdemand.modeling.quantities.quantity import Quantity
from llmdemand.modeling.variance.vcov import SSC

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["conjoint"]

_APART = 0.05  # p value above which an attribute's importance may be noise


def conjoint(
    panel: AnyPanel,
    outcome: Outcome = "belief",
    *,
    linear: Sequence[str] = (),
    vcov: Vcov | None = None,
    ssc: SSC = "stata",
    separation: Separation = "warn",
    reading: Reading | None = None,
    **drawn: Unpack[Drawn],
) -> PartWorths:
    """Part-worths, importances and willingness to pay of a choice experiment.

    A conditional logit of all alternatives (`fit_demand` with ``model="clogit"``): the price
    linearly, every attribute by its levels, and a constant for each alternative that is a brand.
    Holdout tasks are left out of the fit, and predicted.

    Parameters
    ----------
    panel : Panel or PanelShards
        Runs of a study with attributes.
    outcome : str
        ``belief`` or ``choice``.
    linear : sequence of str
        Attributes of numbers that enter as they are, with one coefficient, besides those that the
        study has as linear.
    vcov, ssc, separation, reading
        See `fit_demand`.
    **drawn
        How intervals are made, ``ci``, ``level``, ``reps`` and ``seed``: see
        `llmdemand.modeling.quantities.intervals.Intervals`.

    Returns
    -------
    PartWorths

    Raises
    ------
    UsageError
        For a panel without attributes; for a linear attribute that there is not, or of texts.
    DesignError
        As `fit_demand`; where every run is of a holdout task.

    Notes
    -----
    Importances are shares of ranges (best less worst level) of one logit for all. Noise makes
    ranges larger, the more so the smaller they are: of an attribute whose levels may all be worth
    the same, which a note says, the importance is no more than an upper bound. Their intervals
    hold the best and the worst level fixed.

    Examples
    --------
    >>> from dataclasses import replace
    >>> import llmdemand as ld
    >>> from llmdemand.core.experiment.attributes import Attribute
    >>> from llmdemand.core.experiment.conjoint import Conjoint
    >>> prior = {"price": -0.2, "pads": {"60": 1.0}, "alternatives": {"pampers": 6, "huggies": 6}}
    >>> study = replace(ld.load_study("pampers"), attributes=(Attribute("pads", (30, 60)),),
    ...     offer="- {label}, {pads} to a pack: {price:.0f} cents",
    ...     prices={"pampers": (25.0, 30.0, 35.0), "huggies": (25.0, 30.0, 35.0)},
    ...     conjoint=Conjoint((12,), prior=prior))
    >>> found = conjoint(ld.simulate(study, "synthetic", runs=20, seed=1))
    >>> found.importances.table["attribute"].tolist()
    ['alternative', 'pads', 'price']
    """
    study = panel.study
    panel = sampled(panel)
    _check(panel, linear)
    fitted, held = panel, None
    if "holdout" in panel.frame.columns and panel.frame["holdout"].any():
        out = panel.frame["holdout"].to_numpy(bool)
        if out.all():
            raise DesignError("every run is of a holdout task: there is nothing to fit to")
        fitted = replace(panel, frame=panel.frame[~out].reset_index(drop=True))
        held = replace(panel, frame=panel.frame[out].reset_index(drop=True))
    formula = formula_of(study, linear)
    fit = fit_demand(
        fitted,
        outcome,
        model="clogit",
        formula=formula,
        vcov=vcov,
        ssc=ssc,
        separation=separation,
        reading=reading,
    )
    ready(fit, "part-worths")
    levels = level_map(study, list(map(str, fit.params.index)), linear)
    tests = _tests(fit, levels)
    importances = _importances(fit, levels, drawn)
    notes = [
        f"the levels of {name} may all be worth the same (p = {p:.2g}): its importance is mostly "
        "noise, at most what is said"
        for name, p in zip(tests["attribute"], tests["pvalue"], strict=True)
        if p > _APART
    ]
    return PartWorths(
        fit,
        _part_worths(fit, levels, drawn),
        _slopes(fit, levels, drawn),
        importances,
        _worth(fit, levels, drawn),
        tests,
        None if held is None else _holdouts(fit, fitted, held),
        _truth(panel, fit, levels),
        study.unit,
        (*drawn_note(panel), *notes),
    )


def _check(panel: Panel, linear: Sequence[str]) -> None:
    known = {x.name: x for x in panel.study.attributes}
    if not known:
        raise UsageError(
            f"the study {panel.study.name!r} has no attributes, so there are no part-worths: see "
            "`llmdemand studies new --conjoint`, or fit_demand for prices alone"
        )
    if isinstance(linear, str):
        raise UsageError(f"linear={linear!r}: give a list of attributes, as [{linear!r}]")
    for name in linear:
        if name not in known:
            raise UsageError(
                f"linear: no attribute {name!r}{nearest(name, list(known))}: use "
                f"{', '.join(n for n, x in known.items() if x.numeric) or 'none, all are texts'}"
            )
        if not known[name].numeric:
            raise UsageError(f"linear: levels of {name!r} are texts, not numbers: leave it out")


def _keys(levels: LevelMap, rows: Sequence[int]) -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame(
        {
            "attribute": [levels.attribute[k] for k in rows],
            "level": [levels.level[k] for k in rows],
        }
    )


def _part_worths(fit: Demand, levels: LevelMap, drawn: Drawn) -> Quantity:
    return infer(
        fit,
        lambda b: levels.centred @ b,
        name="part-worths",
        keys=_keys(levels, range(len(levels.level))),
        rule="none: utilities are the same in every task",
        unit="utility, of each attribute with mean 0",
        drawn=drawn,
    )


def _slopes(fit: Demand, levels: LevelMap, drawn: Drawn) -> Quantity | None:
    import pandas as pd

    if not levels.slopes:
        return None
    places = [place for place, _ in levels.slopes.values()]
    return infer(
        fit,
        lambda b: b[places],
        name="utility per unit",
        keys=pd.DataFrame({"attribute": list(levels.slopes)}),
        rule="none: the same in every task",
        unit=f"price in {fit.unit}",
        drawn=drawn,
    )


def _importances(fit: Demand, levels: LevelMap, drawn: Drawn) -> Quantity:
    import pandas as pd

    found = infer(
        fit,
        levels.importances,
        name="importances",
        keys=pd.DataFrame({"attribute": list(levels.names)}),
        rule="one logit for all answers",
        unit="per cent of the sum of ranges",
        drawn=drawn,
        shares=True,
    )
    columns = ["estimate", "se", "lower", "upper"]
    table = found.table.copy()
    table[columns] = 100 * table[columns]
    slopes = None if found.gradient is None else 100 * found.gradient
    return replace(found, table=table, gradient=slopes)


def _worth(fit: Demand, levels: LevelMap, drawn: Drawn) -> Quantity | None:
    """What is paid for a level instead of the first one, and for a unit of linear attributes."""
    import pandas as pd

    if levels.price is None:
        return None
    rows = [k for k in range(len(levels.level)) if levels.matrix[k].any()]
    above = [levels.matrix[k] for k in rows]
    keys = _keys(levels, rows)
    for name, (place, _) in levels.slopes.items():
        if place != levels.price:
            above.append(np.eye(len(fit.params))[place])
            keys = pd.concat([keys, pd.DataFrame([{"attribute": name, "level": "one unit"}])])
    top = np.array(above)
    below = np.zeros_like(top)
    below[:, levels.price] = 1.0
    price = levels.price
    slope = float(coefficients(fit)[price])
    notes = []
    if not slope < 0:
        notes.append(
            f"utility does not fall with the price (it changes by {slope:.3g} per unit): this is "
            "no willingness to pay"
        )
    return infer(
        fit,
        lambda b: -(top @ b) / b[price],
        name="willingness to pay",
        keys=keys,
        rule="none: the same in every task",
        unit=f"{fit.unit}, instead of the first level",
        notes=notes,
        ratio=(top, below),
        ratio_wanted=True,
        drawn=drawn,
    )


def _tests(fit: Demand, levels: LevelMap) -> pd.DataFrame:
    """Wald tests by attribute; nan where the covariance does not allow one."""
    import pandas as pd

    rows = []
    for name in levels.names:
        if name in levels.slopes:
            matrix = np.eye(len(fit.params))[[levels.slopes[name][0]]]
        else:
            matrix = levels.matrix[levels.rows(name)][1:]
        try:
            test = wald_test(fit, (matrix, np.zeros(len(matrix))))
            rows.append((name, test.statistic, len(matrix), test.pvalue))
        except DesignError:
            rows.append((name, np.nan, len(matrix), np.nan))
    return pd.DataFrame(rows, columns=["attribute", "statistic", "df", "pvalue"])


def _holdouts(fit: Demand, fitted: Panel, held: Panel) -> Holdouts | None:
    found = outcomes(held, fit.reading)
    if found.frame.empty:
        return None
    rows = market_frame(held, found)
    ids = held.study.menu.ids
    n = len(found.frame)
    predicted = np.asarray(fit.predict(rows), np.float64).reshape(n, len(ids))
    outcome = found.belief if fit.outcome == "belief" else found.choice
    usable = np.isfinite(outcome).all(axis=1) & outcome.any(axis=1)
    said = outcomes(fitted, fit.reading)
    others = said.belief if fit.outcome == "belief" else said.choice
    others = others[np.isfinite(others).all(axis=1)]
    return scored(
        predicted[usable],
        outcome[usable],
        np.nan_to_num(found.choice[usable]),
        found.frame[usable]["task"],
        others.mean(axis=0),
        ids,
        fit.outcome,
    )


def _truth(panel: Panel, fit: Demand, levels: LevelMap) -> pd.DataFrame | None:
    """Estimates beside the utilities of a consumer whose demand is known."""
    import pandas as pd

    told: dict[str, Any] = panel.provenance.get("truth") or {}
    if "part_worths" not in told:
        return None
    b, cov = coefficients(fit), fit.cov.to_numpy()
    rows = []
    for name, worths in told["part_worths"].items():
        if name in levels.slopes:
            continue
        mine = levels.rows(name)
        for k, true in zip(mine[1:], worths[1:], strict=True):
            rows.append((name, levels.level[k], levels.matrix[k], true - worths[0]))
    if levels.price is not None:
        rows.append(("price", "per unit", np.eye(len(b))[levels.price], told["price"]))
    table = []
    for name, level, row, true in rows:
        estimate, se = float(row @ b), float(np.sqrt(row @ cov @ row))
        z = (estimate - true) / se if se > 0 else np.nan
        table.append((name, level, estimate, se, true, z))
    return pd.DataFrame(table, columns=["attribute", "level", "estimate", "se", "truth", "z"])
