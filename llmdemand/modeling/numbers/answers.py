"""What the runs of a panel say of a quantity or a rating, and the regressors that explain it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from llmdemand.core.panel import Panel
from llmdemand.errors import DesignError, UsageError, choose, nearest
from llmdemand.modeling.arrays import Array, Codes
from llmdemand.modeling.outcomes.corrected import Coefficient
from llmdemand.modeling.outcomes.frames import WHOSE, Outcomes, Reading, default_reading, outcomes
from llmdemand.modeling.sample.formula import Part, apart, part, variables

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Answers", "Outcome", "about", "answers"]

Outcome = Literal["belief", "choice"]
# Beliefs this close to 0 or 1 in all runs say no more than choices.
_SURE = 1e-6
_STEP = 1e-5  # of derivatives by the logarithm of the price


@dataclass(frozen=True)
class Answers:
    """Answers to a question of numbers, one row per run.

    Attributes
    ----------
    frame : pandas.DataFrame
        The rows of the panel that enter, with the fields of personas and ``price``.
    law : (N, A) array
        Belief in each number, or 1 for the one that was chosen; of corrected beliefs it may
        leave [0, 1].
    read : (N,) array
        What each row of `law` sums to.
    values : (A,) array
        The numbers.
    weight : (N,) array
        Sampling weights; 1 without any.
    part : Part
        The right-hand side.
    x : (N, K) array
        Its values.
    offset : (N,) array
        The sum of its offsets.
    named : tuple of str
        Columns that it names.
    outcome, reading, product, unit, noun, formula : str
        Belief or choice, and whose; what has the price; units of prices and of quantities.
    weights : str
        The column of weights; empty without any.
    total : int
        Runs of the panel.
    notes : tuple of str
        What is to be said of them.
    constant : bool
        Whether regressors keep the constant; the cuts of a rating take its place.
    changes : int or None
        Runs that change their mind, on which corrected beliefs rest; None without correction.
    """

    frame: pd.DataFrame
    law: Array
    read: Array
    values: Array
    weight: Array
    part: Part
    x: Array
    offset: Array
    named: tuple[str, ...]
    outcome: str
    reading: str
    product: str
    unit: str
    noun: str
    formula: str
    weights: str
    total: int
    notes: tuple[str, ...]
    constant: bool = True
    changes: int | None = None

    @property
    def number(self) -> Array:
        """The number of each run, or its mean by belief, (N,)."""
        return self.law @ self.values

    @property
    def prices(self) -> Array:
        """The prices that were asked, ascending."""
        return np.unique(self.frame["price"].to_numpy(np.float64))

    def codes(self, columns: Sequence[str]) -> dict[str, Codes]:
        """Cluster codes of the rows by column.

        Raises
        ------
        UsageError
            For a column that is not there.
        DesignError
            For one with missing values.
        """
        import pandas as pd

        found = {}
        for column in columns:
            known = [str(c) for c in self.frame.columns]
            if column not in known:
                raise UsageError(
                    f"no column {column!r}{nearest(column, known)} to cluster by: the panel has "
                    f"{', '.join(known[:6])}, ..."
                )
            codes = np.asarray(pd.factorize(self.frame[column])[0], np.intp)
            if (codes < 0).any():
                raise DesignError(f"column {column!r} to cluster by has missing values")
            found[column] = codes
        return found

    def scenes(self) -> tuple[pd.DataFrame, Array]:
        """The distinct values of what the formula names besides the price, and their weights."""
        others = [c for c in self.named if c != "price"]
        if not others:
            return self.frame[["price"]].iloc[:1], np.ones(1)
        grouped = self.frame.assign(_weight=self.weight).groupby(others, observed=True, sort=False)
        rows = self.frame.loc[grouped.head(1).index, [*others, "price"]]
        weight = grouped["_weight"].transform("sum").loc[rows.index].to_numpy(np.float64)
        return rows, weight / weight.sum()

    def at(self, price: float) -> tuple[Array, Array, Array]:
        """Regressors (S, K), offsets (S,) and weights (S,) of all scenes at one price."""
        rows, weight = self.scenes()
        x, offset = self.part.made(rows.assign(price=float(price)))
        if not self.constant:
            x = x[:, [k for k, t in enumerate(self.part.terms) if t != "const"]]
        return x, np.zeros(len(rows)) if offset is None else offset, weight

    def slope(self, price: float) -> tuple[Array, Array]:
        """Derivatives by the logarithm of the price, of `at`: (S, K) and (S,)."""
        ends = []
        for sign in (-1, 1):  # at an end of the range of a spline one side is not known
            try:
                ends.append((sign * _STEP, self.at(price * (1 + sign * _STEP))))
            except DesignError:
                ends.append((0.0, self.at(price)))
        (below, low), (above, high) = ends
        if below == above:
            raise DesignError(
                f"formula {self.formula!r} has no derivative by the price at {price:g}: prices as "
                "categories have no elasticity; use price, log(price) or a spline"
            )
        return (high[0] - low[0]) / (above - below), (high[1] - low[1]) / (above - below)


def answers(
    panel: Panel,
    outcome: Outcome,
    formula: str,
    kind: str,
    *,
    alternative: str | None = None,
    reading: Reading | None = None,
    statuses: Sequence[str] | None = None,
    coefficient: Coefficient = "one",
    weights: str | None = None,
) -> Answers:
    """The answers of a panel: see `Answers`, and `llmdemand.fit_demand` for the options.

    Raises
    ------
    UsageError
        For a panel of another kind of question; for unknown options.
    DesignError
        Without a usable run, or with one price.
    """
    choose(outcome, Outcome, "outcome")
    study, question = panel.study, panel.study.question
    if question is None or question.kind != kind:
        door = {"quantity": "quantity_demand", "rating": "ologit"}.get(study.kind, "fit_demand")
        raise UsageError(
            f"the study {study.name!r} asks for a {study.kind}, and this fits a {kind}: use {door}"
        )
    product = study.focal if alternative is None else alternative
    if product not in study.prices:
        raise UsageError(
            f"no product {product!r}{nearest(product, list(study.prices))}: prices are those of "
            f"{', '.join(study.prices)}"
        )
    found, law, read, kept = _said(panel, outcome, reading, statuses, coefficient)
    frame = found.frame.iloc[np.flatnonzero(kept)].reset_index(drop=True)
    frame["price"] = frame[f"price_{product}"].astype(float)
    columns = [str(c) for c in frame.columns]
    named = variables(formula, columns)
    apart(["belief", "choice"], [formula])
    if "price" in named and frame["price"].nunique() < 2:
        raise DesignError(
            f"all runs have the price {frame['price'].iloc[0]:g} {study.unit}: demand needs two "
            "prices or more"
        )
    made = part(formula, frame)
    x, offset = made.made(frame)
    weights, weight = _weights(frame, study.weights if weights is None else weights)
    notes = found.notes if outcome == "belief" else found.stopping
    if outcome == "belief" and (law[kept].max(axis=1) > 1 - _SURE).all():
        notes = (*notes, "belief is 0 or 1 in all runs: it says what choice says")
    return Answers(
        frame,
        law[kept],
        read[kept],
        np.asarray(question.values, np.float64),
        weight,
        made,
        x,
        np.zeros(len(frame)) if offset is None else offset,
        tuple(named),
        outcome,
        found.reading,
        product,
        study.unit,
        question.noun or ("units" if kind == "quantity" else "points"),
        formula,
        weights,
        len(panel),
        (*notes, *([found.labels] if found.labels else [])),
        changes=found.changes if outcome == "belief" else None,
    )


def _said(
    panel: Panel,
    outcome: Outcome,
    reading: Reading | None,
    statuses: Sequence[str] | None,
    coefficient: Coefficient,
) -> tuple[Outcomes, Array, Array, NDArray[np.bool_]]:
    """What runs say, by outcome: law, its sums, and which rows enter."""
    if reading is None:
        reading = "pivot" if statuses is not None else default_reading(panel)
    if statuses is None:
        alone = outcome == "choice" and reading == "pivot" and panel.usable.empty
        statuses = ("no_logprobs",) if alone else ("ok",)
    elif reading == "final":
        raise UsageError(
            "statuses=... selects runs by what they say, which corrected belief does not need: "
            "leave it out, or use reading='pivot'"
        )
    found = outcomes(panel, reading, statuses=statuses, coefficient=coefficient)
    law, read = found.belief, found.read
    if outcome == "choice":
        law = found.counted
        read = law.sum(axis=1).round(12)
    kept = np.asarray(np.isfinite(law).all(axis=1))
    if outcome == "choice":
        kept = kept & law.any(axis=1)
    if not kept.any() or (outcome == "belief" and not found.believed):
        raise DesignError(
            f"no usable run among {len(panel)} (statuses: "
            f"{panel.statuses[panel.statuses > 0].to_dict()}): see the answers with "
            "panel.frame['text']; without log-probabilities only choice can be fitted"
        )
    return found, law, read, kept


def _weights(frame: pd.DataFrame, column: str) -> tuple[str, Array]:
    if not column:
        return "", np.ones(len(frame))
    if column not in frame.columns:
        raise UsageError(
            f"no column {column!r}{nearest(column, [str(c) for c in frame.columns])} of weights: "
            "name a field of the personas"
        )
    try:
        weight = frame[column].to_numpy(np.float64)
    except (ValueError, TypeError):
        raise DesignError(f"weights {column!r} are not numbers: give positive ones") from None
    if not (np.isfinite(weight) & (weight > 0)).all():
        raise DesignError(f"weights {column!r} must be positive numbers in every row")
    return column, weight


def about(data: Answers) -> str:
    """Whose answers these are, in words."""
    what = {"belief": "mean of belief", "choice": "number that was said"}[data.outcome]
    return f"{what}, {WHOSE[data.reading]}"
