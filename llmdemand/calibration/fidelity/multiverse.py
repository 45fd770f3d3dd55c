"""Whether an answer hangs on prompt, model or temperature: every specification, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from llmdemand.calibration.fidelity import figures
from llmdemand.calibration.fidelity.quantities import influence
from llmdemand.calibration.fidelity.sides import FEW
from llmdemand.calibration.samples.entries import check_beliefs, check_outcomes, columns_of
from llmdemand.core.line import OneLine
from llmdemand.errors import DesignError, UsageError
from llmdemand.modeling.arrays import Array
from llmdemand.modeling.estimation.binary import fit_binary
from llmdemand.modeling.estimation.options import Options
from llmdemand.modeling.models.results import LogitResults
from llmdemand.modeling.sample.formula import split, variables, without_offsets
from llmdemand.modeling.sample.sample import plain, require

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

__all__ = ["Multiverse", "components", "multiverse"]

_REST = "interactions"
_NOISE = "sampling error"


@dataclass(frozen=True, repr=False)
class Multiverse(OneLine):
    """One coefficient under every specification. Heuristic: specifications are no people.

    Attributes
    ----------
    table : pandas.DataFrame
        By specification: ``estimate, se, lower, upper, p, respondents``, and where humans were
        given ``difference, difference_se``; sorted by estimate.
    components : pandas.DataFrame
        Variance of the estimate by what was varied: ``variance, se, share, levels``; shares are
        of the positive ones.
    negative : tuple of int
        Specifications with a negative estimate, and the ends of an interval of that number.
    humans : tuple of float or None
        Estimate and standard error of people.
    term : str
        The coefficient.
    alpha : float
        One minus the confidence level.
    notes : tuple of str
        What has to be known.
    """

    table: pd.DataFrame
    components: pd.DataFrame
    negative: tuple[int, int, int]
    humans: tuple[float, float] | None
    term: str
    alpha: float
    notes: tuple[str, ...]

    @property
    def _line(self) -> str:
        return self.verdict()

    def verdict(self) -> str:
        """The number of specifications by sign, in a sentence."""
        k, size = self.negative[0], len(self.table)
        sure = self.table["p"] < self.alpha
        low = int(np.sum(sure & (self.table["estimate"] < 0)))
        high = int(np.sum(sure & (self.table["estimate"] > 0)))
        said = (
            f"heuristic: the coefficient of {self.term} is negative in {k} of {size} "
            f"specifications ({self.negative[1]} to {self.negative[2]}), {low} of them "
            f"significantly; significantly positive in {high}"
        )
        if self.humans is not None:
            same = k if self.humans[0] < 0 else size - k
            said += f"; {same} have the sign of the humans' {self.humans[0]:.3g}"
        return said

    def summary(self) -> str:
        """Verdict and tables."""
        show = lambda v: f"{v:.4g}"  # noqa: E731
        parts = [
            self.verdict(),
            self.table.to_string(float_format=show, na_rep="-"),
            "what its variance is of\n" + self.components.to_string(float_format=show),
        ]
        return "\n\n".join([*parts, *self.notes])

    def __str__(self) -> str:
        return self.summary()

    def plot(self, ax: Axes | None = None) -> Axes:
        """All specifications with intervals, and the humans' interval."""
        return figures.specifications(self.table, self.humans, self.term, self.alpha, ax)


def multiverse(
    beliefs: pd.DataFrame,
    by: Sequence[str],
    formula: str = "belief ~ price",
    *,
    term: str = "price",
    humans: pd.DataFrame | None = None,
    outcome: str = "choice",
    cluster: str = "respondent_id",
    alpha: float = 0.05,
    seed: int = 1,
) -> Multiverse:
    """Estimate one coefficient under every combination of prompt, model, temperature, ...

    Parameters
    ----------
    beliefs : pandas.DataFrame
        Answers of the LLM under all specifications, a row each.
    by : sequence of str
        Columns that tell the specifications apart.
    formula : str
        Of the fractional logit that every specification is fitted with.
    term : str
        The coefficient that is compared.
    humans : pandas.DataFrame, optional
        Answers of people, fitted alike.
    outcome, cluster : str
        The humans' answers; the respondents of both.
    alpha : float
        One minus the confidence level.
    seed : int
        Of the draws that give the interval of the number of negative estimates.

    Returns
    -------
    Multiverse

    Raises
    ------
    DesignError
        For fewer than two specifications, or one that cannot be fitted, which is named.
    UsageError
        For impossible options.

    Notes
    -----
    Errors are clustered by respondent over all specifications together: the same personas under
    two prompts are not two samples. Variance components are moments, ``E(theta' P theta)`` of the
    projection P on each factor's levels, less what sampling errors give (Henderson 1953); one may
    be negative, which is left so: it is no larger than chance. Their errors take effects as
    normal; with two or three levels they are hardly known. What was varied is not all that could
    have been.

    Examples
    --------
    >>> import pandas as pd
    >>> from llmdemand.calibration.paired import paired_panel
    >>> told = [paired_panel(humans=2, llm=60, llm_slope=s).beliefs for s in (-0.1, -0.2)]
    >>> beliefs = pd.concat(told, keys=["short", "long"], names=["prompt"]).reset_index("prompt")
    >>> found = multiverse(beliefs, ["prompt"])
    >>> found.negative[0], list(found.components.index)
    (2, ['prompt', 'sampling error'])
    """
    import pandas as pd

    names = [by] if isinstance(by, str) else list(by)
    if not names or not 0 < alpha < 1:
        raise UsageError("by=[...]: name the columns of specifications; alpha lies in (0, 1)")
    left, parts = split(formula)
    without_offsets(parts, "a multiverse")
    frames = [beliefs] if humans is None else [humans, beliefs]
    _, columns = columns_of(frames[0], beliefs)
    used = variables(parts[0], columns)
    require([*names, cluster, left, *used], columns, "among the beliefs")
    told = plain(beliefs[list(dict.fromkeys([*names, cluster, left, *used]))])
    check_beliefs(told[left], left, "beliefs")
    if told[names].isna().any(axis=None):
        raise DesignError(f"missing values in {', '.join(names)}: a row has no specification")
    specs = told.groupby(names, sort=True)
    if specs.ngroups < 2:
        raise DesignError(f"one specification by {', '.join(names)}: a multiverse has several")
    rows = {(k if isinstance(k, tuple) else (k,)): f for k, f in specs}
    whole = [told[cluster].astype(str)]
    if humans is not None:
        require([cluster, outcome, *used], list(humans.columns), "among the humans")
        people = plain(humans[list(dict.fromkeys([cluster, outcome, *used]))])
        check_outcomes(people[outcome], outcome, "fraclogit")
        whole.append(people[cluster].astype(str))
    ids = pd.Index(pd.concat(whole).unique())
    fits = [_fit(formula, f, left, cluster, ids, term, _named(names, k)) for k, f in rows.items()]
    theta = np.array([f[0] for f in fits])
    errors = np.stack([f[1] for f in fits])
    cov, count = errors @ errors.T, np.array([f[2] for f in fits])
    index = pd.MultiIndex.from_tuples(rows, names=names)
    table = _table(theta, np.sqrt(np.diag(cov)), count, index, alpha)
    reference = None
    if humans is not None:
        people = people.rename(columns={outcome: left})
        own, own_error, _ = _fit(formula, people, left, cluster, ids, term, "the humans")
        reference = (own, float(np.linalg.norm(own_error)))
        table["difference"] = theta - own
        table["difference_se"] = np.linalg.norm(errors - own_error, axis=1)
    return Multiverse(
        table.sort_values("estimate"),
        components(theta, cov, index),
        _negative(theta, cov, alpha, seed),
        reference,
        term,
        alpha,
        tuple(_notes(index, count)),
    )


def _named(names: list[str], key: tuple[Any, ...]) -> str:
    return ", ".join(f"{n} {v}" for n, v in zip(names, key, strict=True))


def _fit(
    formula: str, frame: Any, y: str, cluster: str, ids: Any, term: str, name: str
) -> tuple[float, Array, int]:
    """Coefficient, respondents' contributions to its error, and respondents."""
    who = ids.get_indexer(frame[cluster].astype(str))
    rows = frame.reset_index(drop=True).assign(**{cluster: who})
    options = Options.of({"CRV1": cluster}, separation="raise")
    try:
        fit = LogitResults.of(fit_binary(formula, rows, options, binary=False))
    except DesignError as error:
        raise DesignError(f"{name}: {error}") from None
    terms = list(fit.params.index)
    if term not in terms:
        raise UsageError(f"no coefficient {term!r}: there are {', '.join(terms)}")
    k = terms.index(term)
    found = influence(fit, rows, y, who, len(ids))[:, k]
    return float(fit.params.iloc[k]), found, len(np.unique(who))


def _table(theta: Array, se: Array, count: Array, index: Any, alpha: float) -> pd.DataFrame:
    import pandas as pd
    from scipy import stats

    df = np.maximum(count - 1, 1)
    half = stats.t.ppf(1 - alpha / 2, df) * se
    with np.errstate(divide="ignore"):
        p = 2 * stats.t.sf(np.abs(theta) / se, df)
    columns = {"estimate": theta, "se": se, "lower": theta - half, "upper": theta + half, "p": p}
    return pd.DataFrame({**columns, "respondents": count}, index=index)


def _negative(theta: Array, cov: Array, alpha: float, seed: int) -> tuple[int, int, int]:
    """Negative estimates, and an interval of their number under the sampling errors."""
    rng = np.random.default_rng(seed)
    drawn = rng.multivariate_normal(theta, cov, size=4000, method="eigh")
    ends = np.quantile((drawn < 0).sum(axis=1), [alpha / 2, 1 - alpha / 2])
    return int(np.sum(theta < 0)), int(np.floor(ends[0])), int(np.ceil(ends[1]))


def components(theta: Array, cov: Array, index: pd.MultiIndex) -> pd.DataFrame:
    """Variance of estimates by factor, by moments: ``variance, se, share, levels``.

    Parameters
    ----------
    theta : (K,) array
        An estimate by specification.
    cov : (K, K) array
        Of their sampling errors.
    index : pandas.MultiIndex
        Levels of the factors.

    Notes
    -----
    Solves ``theta' P_f theta = sum_g s_g tr(P_f Z_g Z_g') + tr(P_f cov)`` for the variances s, P_f
    the projection on the levels of f, centred. Factors with one level are left out; the rest,
    interactions, is there where specifications are more than the factors tell apart.
    """
    import pandas as pd

    k = len(theta)
    centre = np.full((k, k), 1 / k)
    ones = {
        str(n): np.equal.outer(c, c).astype(np.float64)
        for n, c in zip(index.names, (index.get_level_values(i).factorize()[0]
                                      for i in range(index.nlevels)), strict=True)
        if len(np.unique(c)) > 1
    }  # fmt: skip
    groups = {n: z / z.sum(axis=1, keepdims=True) - centre for n, z in ones.items()}
    whole = np.linalg.pinv(sum(groups.values())) @ sum(groups.values()) if groups else centre * 0
    rest = np.eye(k) - centre - whole
    if np.trace(rest) > 0.5:
        ones[_REST], groups[_REST] = np.eye(k), rest
    a = np.array([[np.trace(p @ z) for z in ones.values()] for p in groups.values()])
    inverse = np.linalg.pinv(a)
    raw = [theta @ p @ theta - np.trace(p @ cov) for p in groups.values()]
    s = inverse @ np.array(raw)
    total = cov + sum(max(v, 0.0) * z for v, z in zip(s, ones.values(), strict=True))
    moved = [p @ total for p in groups.values()]
    spread = inverse @ np.array([[2 * np.trace(x @ y) for y in moved] for x in moved]) @ inverse.T
    noise = float(np.trace((np.eye(k) - centre) @ cov) / (k - 1))
    value, se = np.append(s, noise), np.append(np.sqrt(np.diag(spread)), np.nan)
    levels = [len(np.unique(z, axis=0)) for z in ones.values()]
    share = np.maximum(value, 0) / np.maximum(value, 0).sum()
    columns = {"variance": value, "se": se, "share": share, "levels": [*levels, k]}
    return pd.DataFrame(columns, index=[*ones, _NOISE])


def _notes(index: Any, count: Array) -> list[str]:
    notes = []
    few = [str(n) for n, level in zip(index.names, index.levels, strict=True) if len(level) < 5]
    if few:
        notes.append(
            f"{', '.join(few)}: fewer than 5 levels, so that the variance over others is hardly "
            "known; it describes these"
        )
    if count.min() < FEW:
        notes.append(f"{count.min()} respondents in a specification: below {FEW} errors are short")
    if index.duplicated().any() or len(index) < np.prod([len(v) for v in index.levels]):
        notes.append("not every combination was asked: effects of factors lean on those that were")
    return notes
