"""The cases at which a quantity is evaluated, and averages over them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from llmdemand.errors import DesignError, UsageError, choose, nearest
from llmdemand.modeling.arrays import Array
from llmdemand.modeling.likelihood.kernels import Numbers
from llmdemand.modeling.quantities.intervals import Fit, Value, ready
from llmdemand.modeling.quantities.prices import names, price_column, with_price
from llmdemand.modeling.quantities.scene import Scene
from llmdemand.modeling.sample.columns import rows_of
from llmdemand.modeling.sample.designs import ChoiceDesign, Design
from llmdemand.modeling.sample.given import checked_rows
from llmdemand.modeling.sample.sample import codes

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["At", "Average", "Scenes", "distinct", "one_case", "scenes"]

Average = Literal["mean", "at_means", "share_weighted"]
#: ``None`` (the sample), values of some variables, or rows.
At = Any
_BLOCK = 1 << 17  # rows of regressors that are handled at a time


@dataclass(frozen=True)
class Scenes:
    """Everything a quantity is evaluated at.

    Attributes
    ----------
    keys : pandas.DataFrame
        One row per answer: the values that were asked for.
    blocks : tuple of Scene
        The cases, some answers at a time.
    rule : str
        How they are averaged.
    """

    keys: pd.DataFrame
    blocks: tuple[Scene, ...]
    rule: str

    def value(self, of_block: Any) -> Value:
        """From ``of_block(scene, b) -> (answers, P)`` to a vector, answer by answer."""

        def value(b: Numbers) -> Numbers:
            return np.concatenate([of_block(scene, b).ravel() for scene in self.blocks])

        return value

    def labelled(self, labels: Mapping[str, list[str]]) -> pd.DataFrame:
        """The keys, each repeated for P labels."""
        import pandas as pd

        size = len(next(iter(labels.values())))
        keys = self.keys.loc[np.repeat(np.arange(len(self.keys)), size)].reset_index(drop=True)
        more = pd.DataFrame({k: list(v) * len(self.keys) for k, v in labels.items()})
        return pd.concat([keys, more], axis=1)


def scenes(
    fit: Fit,
    at: At = None,
    *,
    what: str,
    average: Average = "mean",
    price: str = "price",
    alternative: str | None = None,
    apart: bool = False,
    weighable: bool = False,
) -> Scenes:
    """The cases that are asked for.

    Parameters
    ----------
    fit : Fit
        A fitted demand.
    at : optional
        None: the sample. A mapping: the sample with these columns, or prices of these
        alternatives, set to one value or to several, one answer each. A data frame: each
        row (each case, in a conditional logit) an answer.
    what : str
        What is asked, for messages.
    average : str
        ``at_means`` makes one case of means of each answer.
    price, alternative : str
        What the price column is called, and whose price `price` is among the keys of `at`.
    apart : bool
        One block per answer.
    weighable : bool
        Whether the quantity can be an average weighted by shares.

    Raises
    ------
    DesignError, UsageError
        For columns that the model does not have, missing or infinite values.
    """
    design, sample = ready(fit, what)
    choose(average, Average, "average")
    if average == "share_weighted" and not weighable:
        raise UsageError("average='share_weighted' is for elasticities: use 'mean'")
    if at is None or isinstance(at, Mapping):
        keys = _keys(design, sample, {} if at is None else dict(at), price, alternative)
        frames = _replaced(fit, design, sample, keys, price, alternative)
        where = "" if at is None else ", other variables as in the sample"
        many = f"{average.replace('_', ' ')} over observations (sample enumeration)"
        rule = many if average != "at_means" else "none: at the sample means of all variables"
        if average == "share_weighted":
            rule = "share-weighted over observations (sample enumeration)"
        rule += where
    elif hasattr(at, "columns"):
        keys, frames = _given(design, sample, rows_of(at))
        rule = "none: each answer at the values given"
    else:
        raise UsageError(
            f"at={type(at).__name__}: give None for the sample, a mapping such as "
            "{'price': 35}, or a data frame"
        )
    if average == "at_means":
        frames = (_means(design, frame, weight) for frame, weight in frames)
    return Scenes(_headed(design, keys, price), tuple(_blocks(fit, design, frames, apart)), rule)


def _headed(design: Design, keys: pd.DataFrame, price: str) -> pd.DataFrame:
    """The keys, of which those that name an alternative hold its price, and say so."""
    known = {k: f"{price}_{k}" for k in keys.columns if k not in design.variables}
    return keys.rename(columns={k: v for k, v in known.items() if k in design.alternatives})


def _keys(
    design: Design,
    sample: pd.DataFrame,
    at: dict[Any, Any],
    price: str,
    alternative: str | None,
) -> pd.DataFrame:
    """One row per answer: the values asked for, checked."""
    import pandas as pd

    size = 1
    for key, given in at.items():
        known = (*design.variables, *design.alternatives)
        if key not in known:
            raise DesignError(
                f"at: no variable or alternative {key!r} in the model{nearest(str(key), known)}: "
                f"it has {', '.join(known)}"
            )
        if isinstance(design, ChoiceDesign) and key == price and alternative is None:
            raise UsageError(
                f"at: whose {price!r}? Name the alternative, as in "
                f"at={{{design.alternatives[0]!r}: 35}}"
            )
        values = [given] if np.ndim(given) == 0 else list(given)
        if not values:
            raise UsageError(f"at: {key!r} has no values")
        column = key
        if key not in design.variables:
            column = price_column(design, str(key), price, sample)[0]
        if column in sample.columns and sample[column].dtype.kind in "fiub":
            _check_numbers(values, key)
        elif any(v is None or v != v for v in values):
            raise UsageError(f"at: {key!r} has a missing value")
        if size > 1 and len(values) not in (1, size):
            raise UsageError(
                f"at: {key!r} has {len(values)} values and another variable {size}: give lists "
                "of equal length, one answer each"
            )
        size = max(size, len(values))
        at[key] = values
    wide = {k: v * size if len(v) == 1 else v for k, v in at.items()}
    return pd.DataFrame(wide, index=range(size))


def _check_numbers(values: list[Any], key: Any) -> None:
    for v in values:
        number = isinstance(v, int | float | np.number | np.bool_)
        if not number or not np.isfinite(v):
            raise UsageError(f"at: {key!r} is {v!r}: give finite numbers")


def _replaced(
    fit: Fit,
    design: Design,
    sample: pd.DataFrame,
    keys: pd.DataFrame,
    price: str,
    alternative: str | None,
) -> Iterator[tuple[pd.DataFrame, Array]]:
    """The sample with the values of each answer."""
    weight = np.asarray(fit.weights, np.float64)
    if not isinstance(design, ChoiceDesign):
        set_ = [
            c if c in design.variables else price_column(design, str(c), price, sample)[0]
            for c in keys.columns
        ]
        sample, weight = _distinct(sample, weight, [v for v in design.variables if v not in set_])
    else:
        whole = [c for c in keys.columns if c != price or alternative is None]
        rest = [v for v in design.variables if v not in whole]
        sample, weight = _distinct_cases(design, sample, weight, rest)
    for k in range(len(keys)):
        frame = sample
        for key in keys.columns:
            value = keys[key].iloc[k]
            if key not in design.variables:
                frame = with_price(design, frame, str(key), price, value)
            elif isinstance(design, ChoiceDesign) and key == price and alternative is not None:
                frame = with_price(design, frame, alternative, price, value)
            else:
                frame = frame.assign(**{str(key): value})
        yield frame, weight


def _distinct(
    sample: pd.DataFrame, weight: Array, columns: list[str]
) -> tuple[pd.DataFrame, Array]:
    """Rows that differ in these columns, and their weights."""
    if not columns:
        return sample.iloc[:1].reset_index(drop=True), weight.sum(keepdims=True)
    code = sample.groupby(columns, sort=False, observed=True, dropna=False).ngroup().to_numpy()
    first = np.unique(code, return_index=True)[1]
    return sample.iloc[first].reset_index(drop=True), np.bincount(code, weight).astype(np.float64)


def _distinct_cases(
    design: ChoiceDesign, sample: pd.DataFrame, weight: Array, columns: list[str]
) -> tuple[pd.DataFrame, Array]:
    """Cases that differ in these columns or in their alternatives, and their weights."""
    order, start = design.cases(sample)
    case = np.repeat(np.arange(len(start)), np.diff(start, append=len(order)))
    # Within a case the rows may stand in any order.
    order = order[np.lexsort((design.labels(sample)[order], case))]
    row = codes(sample, [design.alternative, *columns])[0][order]
    place = np.arange(len(order)) - start[case]
    table = np.full((len(start), int(place.max()) + 1), -1, np.intp)
    table[case, place] = row
    _, first, code = np.unique(table, axis=0, return_index=True, return_inverse=True)
    kept = np.isin(case, first)
    # In the order in which they came.
    rank = np.argsort(np.argsort(first))[code.reshape(-1)]
    return sample.iloc[order[kept]].reset_index(drop=True), np.bincount(rank, weight).astype(float)


def distinct(scene: Scene) -> Scene:
    """One answer's cases that differ, each with the weights of those that are equal to it."""
    design = scene.design
    columns = list(design.variables)
    if isinstance(design, ChoiceDesign):
        frame, weight = _distinct_cases(design, scene.frame, scene.weight, columns)
    else:
        frame, weight = _distinct(scene.frame, scene.weight, columns)
    return _scene(scene.fit, design, [(frame, weight)])


def _given(
    design: Design, sample: pd.DataFrame, at: pd.DataFrame
) -> tuple[pd.DataFrame, Iterator[tuple[pd.DataFrame, Array]]]:
    """Rows of the caller's: each case an answer."""
    import pandas as pd

    frame = checked_rows(design, sample, at, "at")
    if not isinstance(design, ChoiceDesign):
        keys = frame[list(design.variables)]
        return keys, iter([(frame.iloc[[k]], np.ones(1)) for k in range(len(frame))])
    order, start = design.cases(frame)
    # Answers come as the caller's cases do, by their first rows.
    cases = sorted(np.split(order, start[1:]), key=lambda rows: int(rows[0]))
    keys = pd.DataFrame(index=range(1))
    if design.group in frame.columns:
        keys = frame.loc[[rows[0] for rows in cases], [design.group]].reset_index(drop=True)
    return keys, iter([(frame.iloc[rows], np.ones(1)) for rows in cases])


def one_case(
    design: Design,
    frame: pd.DataFrame,
    weight: Array,
    middle: Callable[[Array, Array], Array],
    option: str,
    instead: str,
) -> pd.DataFrame:
    """One case in the middle of all; by alternative in a conditional logit.

    Parameters
    ----------
    design : Design
        Of the fit.
    frame : pandas.DataFrame
        Cases, and (N,) array `weight` theirs.
    middle : function
        From values (N, V) and weights to the middle ones, (V,).
    option, instead : str
        What asked for it, and what to do where there is none, for messages.
    """
    import pandas as pd

    columns = list(design.variables)
    for name in columns:
        if frame[name].dtype.kind not in "fiub":
            raise DesignError(
                f"{option}: {name!r} holds {frame[name].dtype}, which has no mean or median; use "
                f"{instead}"
            )
    values = frame[columns].to_numpy(np.float64)
    if not isinstance(design, ChoiceDesign):
        return pd.DataFrame([middle(values, weight)], columns=columns)
    (order, start), count = design.cases(frame), len(design.alternatives)
    if (np.diff(start, append=len(frame)) != count).any():
        raise DesignError(
            f"{option}: choice sets differ between cases, so there is no mean or median case; use "
            f"{instead}"
        )
    # Every case has every alternative once, so those of an alternative are in the order of cases.
    values, labels = values[order], design.labels(frame)[order]
    parts = [middle(values[labels == k], weight) for k in range(count)]
    made = pd.DataFrame(parts, columns=columns)
    return made.assign(**{design.alternative: list(design.alternatives)})


def _means(design: Design, frame: pd.DataFrame, weight: Array) -> tuple[pd.DataFrame, Array]:
    """One case of weighted means."""

    def mean(values: Array, weight: Array) -> Array:
        return np.asarray(np.average(values, axis=0, weights=weight))

    instead = "average='mean', or give the values in at=..."
    made = one_case(design, frame, weight, mean, "average='at_means'", instead)
    return made, weight.sum(keepdims=True)


def _blocks(
    fit: Fit, design: Design, frames: Iterator[tuple[pd.DataFrame, Array]], apart: bool
) -> Iterator[Scene]:
    held: list[tuple[pd.DataFrame, Array]] = []
    rows = 0
    for frame, weight in frames:
        held.append((frame, weight))
        rows += len(frame) * len(names(design))
        if apart or rows > _BLOCK:
            yield _scene(fit, design, held)
            held, rows = [], 0
    if held:
        yield _scene(fit, design, held)


def _scene(fit: Fit, design: Design, held: list[tuple[pd.DataFrame, Array]]) -> Scene:
    import pandas as pd

    read = list(design.variables)
    if isinstance(design, ChoiceDesign):
        read.append(design.alternative)
        # Cases are numbered anew: two answers may hold the same ones.
        found = [design.cases(frame) for frame, _ in held]
        held = [(f.iloc[order], w) for (f, w), (order, _) in zip(held, found, strict=True)]
        each = np.concatenate([np.diff(start, append=len(order)) for order, start in found])
    whole = (
        pd.concat([f[read] for f, _ in held], ignore_index=True) if len(held) > 1 else held[0][0]
    )
    whole = whole[read].reset_index(drop=True)
    if isinstance(design, ChoiceDesign):
        whole[design.group] = np.repeat(np.arange(len(each)), each)
    made = design.expand(whole)
    labels, x, start = made.labels, made.wide, made.start
    if design.outside:
        x = np.zeros((2 * len(made.x), x.shape[1]))
        x[::2] = made.wide
        labels = np.tile(np.array([0, 1], np.intp), len(made.x))
        start = 2 * np.arange(len(made.x))
    weight = np.concatenate([w for _, w in held])
    answer = np.repeat(np.arange(len(held)), [len(w) for _, w in held])
    return Scene(fit, whole, weight, answer, len(held), x, start, labels, made.members)
