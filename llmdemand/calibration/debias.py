"""Predict, then debias: any statistic of humans, sharpened by the LLM."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from llmdemand.calibration.samples.entries import belief_rows
from llmdemand.core.line import OneLine
from llmdemand.core.panel import Panel
from llmdemand.errors import DesignError, UsageError, nearest
from llmdemand.modeling.arrays import Array
from llmdemand.modeling.outcomes.frames import Reading
from llmdemand.modeling.sample.sample import require

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Debiased", "Tuning", "debias"]

Tuning = Literal["full", "diagonal", "none"]
Statistic = Callable[["pd.DataFrame", str], Any]


@dataclass(frozen=True, repr=False)
class Debiased(OneLine):
    """A statistic of humans with the LLM's help.

    Attributes
    ----------
    table : pandas.DataFrame
        By name of the number: ``estimate, se, lower, upper``, and ``humans_only, humans_only_se,
        llm_only, n_eff``.
    cov : pandas.DataFrame
        Covariance of the estimates.
    omega : pandas.DataFrame
        Weights on the LLM's correction.
    df : float
        Degrees of freedom: humans less one.
    humans, llm : int
        Respondents.
    errors : str
        How contributions of respondents were found.
    """

    table: pd.DataFrame
    cov: pd.DataFrame
    omega: pd.DataFrame
    df: float
    humans: int
    llm: int
    errors: str

    def summary(self) -> str:
        """Table and how it was made."""
        return (
            f"Predict-then-debias: {self.humans:,} humans, {self.llm:,} LLM respondents, "
            f"{self.errors}, t with {self.df:g} degrees of freedom\n\n"
            + self.table.to_string(float_format=lambda v: f"{v:.5g}")
        )

    def __str__(self) -> str:
        return self.summary()

    def _repr_html_(self) -> str:
        return self.table.to_html(float_format=lambda v: f"{v:.5g}")


def debias(
    statistic: Statistic,
    humans: pd.DataFrame,
    beliefs: pd.DataFrame | Panel,
    *,
    outcome: str = "choice",
    belief: str = "belief",
    cluster: str = "respondent_id",
    on: Sequence[str] = ("price",),
    focal: str | None = None,
    reading: Reading | None = None,
    influence: Statistic | None = None,
    tune: Tuning = "diagonal",
    groups: int = 200,
    alpha: float = 0.05,
    seed: int = 1,
) -> Debiased:
    """Estimate any statistic of human answers with the help of beliefs.

    Parameters
    ----------
    statistic : callable
        ``statistic(frame, column)``: one number or a Series of numbers, computed from the rows
        of a frame with `column` as the outcome. It is called with humans' outcomes, with their
        beliefs, and with the beliefs of the pool.
    humans : pandas.DataFrame
    beliefs : Panel or pandas.DataFrame
        As in `llmdemand.calibration.ppi.calibrate`; rows of `beliefs` whose respondent is no
        human are the pool.
    outcome, belief, cluster : str
        Columns.
    on : sequence of str
        Columns that, with the respondent, say which belief belongs to which human answer;
        not needed if `humans` has the column `belief`.
    focal, reading : str, optional
        Of a panel: whose demand, and whose choice; see `calibrate`.
    influence : callable, optional
        ``influence(frame, column)``: (rows, P) contributions to the error of the statistic, which
        sum to zero (the influence function over the number of rows). Without it respondents
        are left out in groups (jackknife), which needs no formula but a statistic that is
        smooth in the data (a mean, a coefficient; not a median).
    tune : str
        ``diagonal`` (each number has its own weight on the LLM), ``full`` (each may use the
        corrections of all; for many humans), ``none`` (weight 1).
    groups : int
        Groups of the jackknife, at most.
    alpha, seed : float, int
        One minus the confidence level; seed of the division into groups.

    Returns
    -------
    Debiased

    Raises
    ------
    DesignError
        Missing columns or values, humans without a belief of their own, no pool, a statistic
        that is not finite.
    UsageError
        For impossible options.

    Notes
    -----
    ``theta = theta_n - Omega (gamma_n - gamma_N)``: theta_n the statistic of humans, gamma that of
    beliefs. ``Omega = C (V_n + V_N)^-1`` minimises the variance ``S - Omega C' - C Omega' + Omega
    (V_n + V_N) Omega'``. Valid for every LLM; for a mean it is PPI++ (Kluger et al. 2025, arXiv
    2501.18577).

    Examples
    --------
    >>> from llmdemand.calibration.paired import paired_panel
    >>> data = paired_panel(humans=200, llm=1000, seed=1)
    >>> found = debias(lambda rows, y: rows[y].mean(), data.humans, data.beliefs)
    >>> bool(found.table["se"].iloc[0] < found.table["humans_only_se"].iloc[0])
    True
    """
    import pandas as pd
    from scipy import stats

    _check(tune, groups, alpha, seed)
    rows = belief_rows(beliefs, "logit", cluster, focal, reading, [])
    h, pool = _sides(humans, rows, outcome, belief, cluster, list(on))
    values = [
        _numbers(statistic(rows, column), what)
        for rows, column, what in (
            (h, outcome, "humans"),
            (h, belief, "beliefs of humans"),
            (pool, belief, "beliefs of the pool"),
        )
    ]
    names = list(values[0].index)
    rng = np.random.default_rng(seed)
    if influence is None:
        r, q = _jackknife(statistic, h, (outcome, belief), cluster, groups, rng)
        (p,) = _jackknife(statistic, pool, (belief,), cluster, groups, rng)
        errors = "jackknife over respondents"
    else:
        r, q = (_by_respondent(influence, h, c, cluster, len(names)) for c in (outcome, belief))
        p = _by_respondent(influence, pool, belief, cluster, len(names))
        errors = "influence function, summed by respondent"
    s, c, v = r.T @ r, r.T @ q, q.T @ q + p.T @ p
    omega = _omega(c, v, tune)
    theta_n, gamma_n, gamma_pool = (x.to_numpy(np.float64) for x in values)
    estimate = theta_n - omega @ (gamma_n - gamma_pool)
    cov = s - omega @ c.T - c @ omega.T + omega @ v @ omega.T
    se, alone = np.sqrt(np.diag(cov)), np.sqrt(np.diag(s))
    n = h[cluster].nunique()
    half = float(stats.t.ppf(1 - alpha / 2, n - 1)) * se
    table = pd.DataFrame(
        {
            "estimate": estimate,
            "se": se,
            "lower": estimate - half,
            "upper": estimate + half,
            "humans_only": theta_n,
            "humans_only_se": alone,
            "llm_only": gamma_pool,
            "n_eff": n * (alone / se) ** 2,
        },
        index=names,
    )
    return Debiased(
        table,
        pd.DataFrame(cov, index=names, columns=names),
        pd.DataFrame(omega, index=names, columns=names),
        float(n - 1),
        n,
        pool[cluster].nunique(),
        errors,
    )


def _check(tune: Any, groups: int, alpha: float, seed: int) -> None:
    if tune not in get_args(Tuning):
        raise UsageError(
            f"tune={tune!r}{nearest(str(tune), get_args(Tuning))}: use 'diagonal', 'full' or 'none'"
        )
    if groups < 10:
        raise UsageError(f"groups={groups}: a jackknife needs at least 10, better 200")
    if not 0 < alpha < 1 or seed < 0:
        raise UsageError(f"alpha={alpha:g}, seed={seed}: give alpha as 0.05, and a seed from 0 on")


def _sides(
    humans: pd.DataFrame,
    beliefs: pd.DataFrame,
    outcome: str,
    belief: str,
    cluster: str,
    on: list[str],
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Humans with their beliefs, and the pool."""
    left, right = list(map(str, humans.columns)), list(map(str, beliefs.columns))
    require([cluster, outcome], left, "among the humans")
    require([cluster, belief], right, "among the beliefs")
    h = humans.reset_index(drop=True).assign(**{cluster: humans[cluster].astype(str).to_numpy()})
    p = beliefs.reset_index(drop=True).assign(**{cluster: beliefs[cluster].astype(str).to_numpy()})
    if belief not in left:
        require(on, left, "among the humans (on=...)")
        require(on, right, "among the beliefs (on=...)")
        keys = [cluster, *on]
        mean = p.groupby(keys, as_index=False, observed=True)[belief].mean()
        h = h.merge(mean, how="left", on=keys)
        lost = h[belief].isna()
        if lost.any():
            who = h.loc[lost, cluster].iloc[0]
            raise DesignError(
                f"{int(lost.sum()):,} human answers have no belief of their own (the first: "
                f"respondent {who!r}): ask the LLM as every human, at the same {', '.join(on)}"
            )
    pool = p[~p[cluster].isin(set(h[cluster]))].reset_index(drop=True)
    if pool.empty:
        raise DesignError("no LLM respondents beyond the humans: there is nothing to gain from")
    for frame, columns in ((h, [outcome, belief]), (pool, [belief])):
        for column in columns:
            values = frame[column].to_numpy(np.float64)
            if not np.isfinite(values).all():
                raise DesignError(f"column {column!r} has missing or infinite values: mend them")
    return h, pool


def _numbers(value: Any, what: str) -> pd.Series[float]:
    import pandas as pd

    found = value if isinstance(value, pd.Series) else pd.Series(np.atleast_1d(value))
    if found.index.dtype.kind in "iu" and len(found) == 1:
        found.index = pd.Index(["statistic"])
    found = found.astype(float)
    if not np.isfinite(found.to_numpy()).all():
        raise DesignError(f"the statistic of the {what} is not finite: {found.to_dict()}")
    return found


def _jackknife(
    statistic: Statistic,
    rows: pd.DataFrame,
    columns: Sequence[str],
    cluster: str,
    groups: int,
    rng: np.random.Generator,
) -> list[Array]:
    """Contributions of groups of respondents, (G, P), for each outcome column."""
    import pandas as pd

    codes, known = pd.factorize(rows[cluster])
    size = min(groups, len(known))
    if size < 2:
        raise DesignError(f"{len(known)} respondent: errors need at least 2")
    group = (rng.permutation(len(known)) % size)[codes]
    found: list[list[Array]] = [[] for _ in columns]
    for g in range(size):
        kept = rows[group != g]
        for place, column in enumerate(columns):
            value = _numbers(statistic(kept, column), "rows without a group of respondents")
            found[place].append(np.asarray(value, np.float64))
    factor = np.sqrt((size - 1) / size)
    return [factor * (np.mean(f, axis=0) - np.array(f)) for f in found]


def _by_respondent(
    influence: Statistic, rows: pd.DataFrame, column: str, cluster: str, size: int
) -> Array:
    import pandas as pd

    given = np.asarray(influence(rows, column), np.float64).reshape(len(rows), -1)
    if given.shape[1] != size or not np.isfinite(given).all():
        raise DesignError(
            f"influence gave {given.shape[1]} columns, finite: {bool(np.isfinite(given).all())}; "
            f"the statistic has {size} numbers"
        )
    codes, known = pd.factorize(rows[cluster])
    n = len(known)
    found = np.column_stack([np.bincount(codes, c, n) for c in given.T])
    return np.asarray((found - found.mean(axis=0)) * np.sqrt(n / (n - 1)))


def _omega(c: Array, v: Array, tune: Tuning) -> Array:
    if tune == "none":
        return np.eye(len(c))
    if tune == "full":
        return np.asarray(c @ np.linalg.pinv(v, hermitian=True))
    spread = np.diag(v)
    known = spread > 0
    weight = np.zeros(len(c))
    weight[known] = np.diag(c)[known] / spread[known]
    return np.diag(weight)
