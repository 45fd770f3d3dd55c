"""Cross-validation: predictions for observations that a model was not fitted to."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from llmdemand.errors import DesignError, UsageError, choose
from llmdemand.modeling.arrays import Array, Codes
from llmdemand.modeling.estimation.estimate import SeparationWarning, VarianceWarning
from llmdemand.modeling.estimation.fit import Fit
from llmdemand.modeling.printed import Printed, with_notes
from llmdemand.modeling.sample.columns import Data, plain, rows_of
from llmdemand.modeling.sample.formula import split, variables
from llmdemand.modeling.sample.sample import NA, codes, complete, require
from llmdemand.modeling.scoring.predictions import Predicted, predicted_rows

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["CrossValidation", "cross_validate", "mean_of"]


@dataclass(frozen=True, repr=False)
class CrossValidation(Printed):
    """Scores of predictions for observations that a model was not fitted to.

    Attributes
    ----------
    folds : pandas.DataFrame
        One row per fold: ``fold``, ``left_out`` (what), ``nobs``, ``log_score``, ``brier``,
        ``rmse``, ``separated``, ``problem`` (why it has no scores; empty if it has).
    pooled : pandas.DataFrame
        Rows ``log_score, brier, rmse``; columns ``estimate, se``: over all observations
        that were predicted.
    formula : str
        The model.
    unit : str
        What leaves together.
    units : int
        How many of them were predicted.
    separated, failed : int
        Folds without scores: separated, and without an estimate for another reason.
    dropped : int
        Rows left out for missing values or availability.
    seed : int
        Seed of the folds.
    """

    folds: pd.DataFrame
    pooled: pd.DataFrame
    formula: str
    unit: str
    units: int
    separated: int
    failed: int
    dropped: int
    seed: int

    @property
    def log_score(self) -> float:
        """Mean out-of-sample log score."""
        return float(self.pooled.loc["log_score", "estimate"])  # type: ignore[arg-type]

    @property
    def brier(self) -> float:
        """Out-of-sample Brier score."""
        return float(self.pooled.loc["brier", "estimate"])  # type: ignore[arg-type]

    @property
    def rmse(self) -> float:
        """Out-of-sample RMSE of the demand curve."""
        return float(self.pooled.loc["rmse", "estimate"])  # type: ignore[arg-type]

    @property
    def notes(self) -> tuple[str, ...]:
        """What the reader should know."""
        lost = self.separated + self.failed
        if not lost:
            return ()
        return (
            f"{lost} of {len(self.folds)} folds have no scores ({self.separated} separated, "
            f"{self.failed} without an estimate or prediction): the pooled scores are of the "
            "others only, and not comparable with a model that predicts all",
        )

    def __str__(self) -> str:
        table = self.pooled.to_string(float_format=lambda v: f"{v:.5g}")
        head = (
            f"Cross-validation of {self.formula}: {len(self.folds)} folds, {self.units} "
            f"{self.unit} predicted"
        )
        return with_notes([head, table], self.notes)


def cross_validate(
    door: Callable[..., Fit],
    formula: str,
    data: Data,
    folds: int | str = 10,
    seed: int = 1,
    *,
    group: str | None = None,
    by: str | None = None,
    **options: Any,
) -> CrossValidation:
    """Fit without some observations and predict them, until each was predicted.

    Parameters
    ----------
    door : function
        ``logit``, ``fraclogit``, ``mnlogit``, ``clogit``, ``nlogit``, ``mixlogit``, ``lclogit``.
    formula : str
        As for the door.
    data : table
        As for the door.
    folds : int or str
        A number of folds, made at random of whole groups; or a column, each of whose
        values leaves once: ``"cell"``, ``"price"`` (leave one price out).
    seed : int
        Seed of random folds.
    group : str, optional
        For a number of folds: column whose rows leave together; ``cell`` where there is one.
        Otherwise single rows leave, for a conditional logit single cases.
    by : str, optional
        Column whose values are the cells of the demand curve; ``price`` where there is one,
        otherwise every set of the formula's columns.
    **options
        For the door. A covariance makes no difference and is not computed.

    Returns
    -------
    CrossValidation

    Raises
    ------
    UsageError
        For a number of folds that is impossible, data that are no data frame.
    DesignError
        For unknown columns, a column of folds that varies within a case; if no fold at all
        can be fitted and predicted, with the reason of the first.

    Notes
    -----
    Runs of one cell share the prompt. With folds of single runs a model is scored on
    cells that it has seen, so whole cells leave together by default.

    A fold whose training data are separated, or lack a category of those left out, has no
    prediction. Its scores are NaN, it is counted with the reason, and nothing takes its
    place: ``separation="firth"`` predicts all folds.

    Pooled means are over the observations predicted. With S_g and n_g the sums of scores and
    of weights in unit g (what leaves together) and m the mean, their standard error is
    ``sqrt(G / (G - 1) sum (S_g - n_g m)^2) / sum n_g``; for the RMSE, whose units are
    the cells of the curve, by the delta method. All folds share most of their training data,
    which these standard errors do not know: no unbiased one exists (Bengio & Grandvalet
    2004).

    Examples
    --------
    >>> import pandas as pd
    >>> from llmdemand.modeling.models.logit import fraclogit
    >>> df = pd.DataFrame({"belief": [.9, .7, .4, .2, .8, .6, .4, .1], "price": [1, 2, 3, 4] * 2})
    >>> found = cross_validate(fraclogit, "belief ~ price", df, folds="price")
    >>> len(found.folds), round(found.log_score, 4)
    (4, -0.5434)
    """
    import pandas as pd

    data = rows_of(data)
    case = _case_column(door, options)
    frame, read, dropped = _usable(formula, data, case, options, group, folds, by)
    known = [str(c) for c in frame.columns]
    unit, unit_code, fold, left_out = _folds(frame, folds, seed, group, case)
    by = by or ("price" if "price" in known else None)
    cells = [by] if by else read
    key = codes(frame, cells)[0] if cells else np.zeros(len(frame), np.intp)
    rows: list[dict[str, Any]] = []
    parts: list[Predicted] = []
    units: list[Codes] = []
    errors: list[DesignError] = []
    for k, what in enumerate(left_out):
        out = fold == k
        rest, held = (frame[which].reset_index(drop=True) for which in (~out, out))
        first = np.arange(len(held)) if case is None else codes(held, [case])[1]
        row = {"fold": k + 1, "left_out": what, "nobs": _size(held.iloc[first], options)}
        try:
            found = _fold(door, formula, rest, held, key[out], options)
        except DesignError as error:
            errors.append(error)
            rows.append(row | _unscored(error))
            continue
        rows.append(row | found.means() | {"separated": False, "problem": ""})
        parts.append(found)
        units.append(unit_code[out][found.first])
    if not parts:
        raise _nothing(errors)
    table = pd.DataFrame(rows)
    separated = int(table["separated"].sum())
    return CrossValidation(
        folds=table,
        pooled=_pooled(parts, np.concatenate(units)),
        formula=formula,
        unit=unit,
        units=len(np.unique(np.concatenate(units))),
        separated=separated,
        failed=len(errors) - separated,
        dropped=dropped,
        seed=seed,
    )


class _Separated(DesignError):
    """A fold that cannot be predicted because the other folds are separated."""


def _fold(
    door: Callable[..., Fit],
    formula: str,
    rest: pd.DataFrame,
    held: pd.DataFrame,
    key: Codes,
    options: dict[str, Any],
) -> Predicted:
    """Predictions for the rows held out, from a fit to the rest."""
    with warnings.catch_warnings():
        for category in (SeparationWarning, VarianceWarning):
            warnings.simplefilter("ignore", category)
        fit = door(formula, rest, **options)
    if fit.separated:
        raise _Separated("separated: infinite estimates predict nothing")
    return predicted_rows(fit, held, options.get("weights"), key)


def _size(cases: pd.DataFrame, options: dict[str, Any]) -> float:
    """Observations, by weight."""
    weights = options.get("weights")
    return float(len(cases) if weights is None else cases[weights].to_numpy(np.float64).sum())


def _unscored(error: DesignError) -> dict[str, Any]:
    nothing = dict.fromkeys(("log_score", "brier", "rmse"), np.nan)
    return nothing | {"separated": isinstance(error, _Separated), "problem": str(error)}


def _nothing(errors: list[DesignError]) -> DesignError:
    """Why no fold at all is predicted."""
    for error in errors:
        if not isinstance(error, _Separated):
            found = DesignError(f"no fold can be predicted; the first: {error}")
            found.__cause__ = error
            return found
    return DesignError(
        f"all {len(errors)} folds are separated: nothing can be predicted; collect more runs, "
        "or use Firth's estimates (separation='firth')"
    )


def _case_column(door: Callable[..., Fit], options: dict[str, Any]) -> str | None:
    """The column of cases, for a door that takes one."""
    try:
        default = inspect.signature(door).parameters.get("case")
    except (TypeError, ValueError):
        default = None
    if not callable(door):
        raise UsageError(f"door is {door!r}: give logit, fraclogit, mnlogit or clogit")
    return None if default is None else str(options.get("case", default.default))


def _usable(
    formula: str,
    data: pd.DataFrame,
    case: str | None,
    options: dict[str, Any],
    group: str | None,
    folds: int | str,
    by: str | None,
) -> tuple[pd.DataFrame, list[str], int]:
    """Rows that the door would use, the formula's columns, and the number of rows left out.

    Takes from `options` what is settled here: missing values, availability, the covariance.
    """
    known = [str(c) for c in data.columns]
    outcome, parts = split(formula)
    named = list(dict.fromkeys(v for text in parts for v in variables(text, known)))
    left = [outcome] if outcome in known else variables(outcome, known)
    weights, na = options.get("weights"), options.pop("na", "raise")
    choose(na, NA, "na")
    column = folds if isinstance(folds, str) else group
    frame, availability = data, options.pop("availability", None)
    for name, role in (
        (weights, "of weights"),
        (column, "of folds"),
        (by, "of cells (by=...)"),
        (case, "of cases (case=...)"),
        (availability, "of availability"),
    ):
        require([name], known, role)
    if availability is not None:
        if not data[availability].isin([0, 1]).all():
            raise DesignError(f"availability {availability!r} must be 0 or 1 in every row")
        frame = data[data[availability].astype(bool)]
    read = [*named, *left, *(c for c in (weights, column, by, case) if c is not None)]
    if case is not None:
        read.append(str(options.get("alternative", "alternative")))
        require([read[-1]], known, "of alternatives (alternative=...)")
    read = list(dict.fromkeys(read))
    frame = frame.reset_index(drop=True)
    frame = frame.assign(**plain(frame[read]))
    whole = complete(frame[read], na, 0).index
    if case is not None and len(whole) < len(frame):
        broken = frame.loc[~frame.index.isin(whole), case]
        whole = frame.index[~frame[case].isin(broken) & frame[case].notna()]
    frame = frame.loc[whole].reset_index(drop=True)
    if not len(frame):
        raise DesignError("no rows to fit: there are none, or every one has missing values")
    options["vcov"] = "HC0"
    return frame, named, len(data) - len(frame)


def _folds(
    frame: pd.DataFrame, folds: int | str, seed: int, group: str | None, case: str | None
) -> tuple[str, Codes, Codes, list[str]]:
    """What leaves together, its codes, the fold of each row, and what each fold leaves out."""
    column = folds if isinstance(folds, str) else group
    if column is None and "cell" in frame.columns:
        column = "cell"
    if column is not None and case is not None:
        group_code, first = codes(frame, [case])
        values = frame[column].to_numpy()
        if (values != values[first][group_code]).any():
            row = int(np.flatnonzero(values != values[first][group_code])[0])
            raise DesignError(
                f"column {column!r} varies within case {frame[case].iloc[row]}: cases leave as "
                "a whole; name a column of the case"
            )
    column = column or case
    unit = "observations" if column is None else f"values of {column!r}"
    code, first = codes(frame, [column]) if column else (np.arange(len(frame)),) * 2
    count = len(first)
    if isinstance(folds, str):
        if count < 2:
            raise DesignError(f"{folds!r} has one value: nothing would be left to fit")
        return unit, code, code, [f"{folds} = {v}" for v in frame[folds].iloc[first]]
    if isinstance(folds, bool) or not isinstance(folds, int | np.integer) or folds < 2:
        raise UsageError(f"folds={folds!r}: give a number from 2 on, or a column such as 'cell'")
    if folds > count:
        raise UsageError(f"folds={folds}: there are {count} {unit}, and none leaves in two folds")
    place = np.empty(count, np.intp)
    place[np.random.default_rng(seed).permutation(count)] = np.arange(count) % folds
    sizes = np.bincount(place)
    return unit, code, place[code], [f"{s} {unit}" for s in sizes]


def _pooled(parts: list[Predicted], units: Codes) -> pd.DataFrame:
    """Scores over all predictions, with standard errors."""
    import pandas as pd

    n = np.concatenate([p.cases for p in parts])
    found = {}
    for name in ("log_score", "brier"):
        method = "log_scores" if name == "log_score" else "brier_scores"
        found[name] = mean_of(np.concatenate([getattr(p, method)() for p in parts]), n, units)
    # A cell may be predicted in several folds; its curve is the mean prediction.
    alternatives = sorted({a for p in parts for a in p.alternatives})
    place = {a: k for k, a in enumerate(alternatives)}
    label = np.concatenate([np.array([place[a] for a in p.alternatives])[p.labels] for p in parts])
    key = np.concatenate([p.key for p in parts]) * len(alternatives) + label
    _, code = np.unique(key, return_inverse=True)
    w, y, p = (np.concatenate([getattr(part, f) for part in parts]) for f in ("n", "y", "p"))
    size = np.bincount(code, w).astype(np.float64)
    gap = np.bincount(code, w * (y - p)) / size
    mse, se = mean_of(size * gap**2, size, np.arange(len(size)))
    root = np.sqrt(mse)
    found["rmse"] = (root, se / (2 * root) if root > 0 else 0.0)
    return pd.DataFrame(found, index=["estimate", "se"]).T


def mean_of(sums: Array, n: Array, units: Codes) -> tuple[float, float]:
    """A ratio of sums and its standard error by unit; NaN for a single unit."""
    _, code = np.unique(units, return_inverse=True)
    s, w = np.bincount(code, sums), np.bincount(code, n)
    mean = float(s.sum() / w.sum())
    g = len(s)
    if g < 2:
        return mean, float("nan")
    return mean, float(np.sqrt(g / (g - 1) * ((s - w * mean) ** 2).sum()) / w.sum())
