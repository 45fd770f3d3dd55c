"""Predict, then debias: any statistic of humans, sharpened by the LLM."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np

from llmdemand.calibration.checks.assumptions import Evidence, assumptions
from llmdemand.calibration.checks.debiasing import Debiasing, DebiasOptions
from llmdemand.calibration.checks.laws import WARN, SameLaw, compare_laws
from llmdemand.calibration.checks.leakage import UNCHECKED
from llmdemand.calibration.checks.options import NOT_STATED, CalibrationWarning
from llmdemand.calibration.moments.statistic import (
    Rows,
    Statistic,
    Tuning,
    best_weights,
    by_influence,
    by_jackknife,
    by_name,
    numbers,
    weighs,
)
from llmdemand.calibration.moments.tuning import effective, lost, widened
from llmdemand.calibration.samples.asked import Asked, asked_alike
from llmdemand.calibration.samples.entries import (
    Model,
    belief_rows,
    columns_of,
    complete,
    in_memory,
)
from llmdemand.calibration.samples.joining import Joined, join
from llmdemand.core.line import OneLine
from llmdemand.core.shards.shards import AnyPanel
from llmdemand.errors import DesignError, UsageError, warn
from llmdemand.modeling.arrays import Array
from llmdemand.modeling.sample.sample import plain, require
from llmdemand.modeling.spelled import spelled

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

__all__ = ["Debiased", "Tuning", "common_design", "debias", "estimated", "evidence_of", "sides_of"]


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
        Degrees of freedom: humans less one, less the weights that were tuned.
    humans, llm : int
        Respondents.
    errors : str
        How contributions of respondents were found.
    assumptions : pandas.DataFrame
        What was checked and what cannot be: ``assumption, verdict, evidence``.
    laws : SameLaw
        Beliefs of humans and pool, compared by cell.
    notes : tuple of str
        What a reader has to know besides.
    """

    table: pd.DataFrame
    cov: pd.DataFrame
    omega: pd.DataFrame
    df: float
    humans: int
    llm: int
    errors: str
    assumptions: pd.DataFrame
    laws: SameLaw
    notes: tuple[str, ...]

    def summary(self) -> str:
        """Table, how it was made, and assumptions."""
        parts = [
            f"Predict-then-debias: {self.humans:,} humans, {self.llm:,} LLM respondents, "
            f"{self.errors}, t with {self.df:g} degrees of freedom",
            self.table.to_string(float_format=lambda v: f"{v:.5g}"),
            "assumptions\n"
            + "\n".join(
                f"  {r['verdict']:<17} {r['assumption']}: {r['evidence']}"
                for r in self.assumptions.to_dict("records")
            ),
        ]
        return "\n\n".join(parts) + "".join(f"\nnote: {n}" for n in self.notes)

    def plot_beliefs(self, ax: Axes | None = None) -> Axes:
        """What the LLM said as the humans and as its further respondents, by cell."""
        from llmdemand.calibration.figures import laws

        return laws(self.laws.table, self.laws.p, ax)

    def __str__(self) -> str:
        return self.summary()

    def _repr_html_(self) -> str:
        return self.table.to_html(float_format=lambda v: f"{v:.5g}")


@spelled(DebiasOptions, Debiasing())
def debias(
    statistic: Statistic,
    humans: pd.DataFrame,
    beliefs: pd.DataFrame | AnyPanel,
    *,
    influence: Statistic | None = None,
    groups: int = 200,
    **options: Unpack[DebiasOptions],
) -> Debiased:
    """Estimate any statistic of human answers with the help of beliefs.

    Parameters
    ----------
    statistic : callable
        ``statistic(frame, column)``: one number or a Series of numbers, computed from the rows
        of a frame with `column` as the outcome. It is called with humans' outcomes, with their
        beliefs, and with the beliefs of the pool. With a third argument named ``weights`` it is
        given a weight for each row, and the pool is weighted to the design of the humans;
        without one both sides have to be asked by one design, or they are refused. A Series has
        the same names whatever the rows; their order does not matter.
    humans : pandas.DataFrame
    beliefs : Panel, PanelShards or pandas.DataFrame
        As in `llmdemand.calibration.ppi.calibrate`; rows of `beliefs` whose respondent is no
        human are the pool.
    outcome, belief, cluster : str
        Columns.
    on : sequence of str
        Columns that make the design: with the respondent they say which belief belongs to which
        human answer, and both sides are weighted alike by their values. Empty if everybody was
        asked the same.
    focal, reading : str, optional
        Of a panel: whose demand, and whose choice; see `calibrate`.
    influence : callable, optional
        ``influence(frame, column)``, or with ``weights``: (rows, P) contributions to the error of
        the statistic, which sum to zero (the influence function over the number of rows). Without
        it respondents are left out in groups (jackknife), which needs no formula but a statistic
        that is smooth in the data (a mean, a coefficient; not a median).
    tune : str
        ``diagonal`` (each number has its own weight on the LLM), ``full`` (each may use the
        corrections of all; for many humans), ``none`` (weight 1).
    groups : int
        Groups of the jackknife, at most.
    na : str
        ``raise``, or ``drop`` rows with missing values and human answers without a belief.
    prompt_chosen_on : str, optional
        ``others``, ``nobody`` or ``these``; see `calibrate`.
    alpha : float
        One minus the confidence level.
    reps, seed : int
        Permutations that compare both sides' beliefs; their seed, and that of the division into
        groups.

    Returns
    -------
    Debiased

    Raises
    ------
    DesignError
        Missing columns or values, respondents under other names on the two sides, humans without
        a belief of their own, no pool, cells with fewer than 2 respondents, a pool that was asked
        by another design, a statistic that is not finite or has other names on one side.
    UsageError
        For impossible options.

    Warns
    -----
    CalibrationWarning
        If beliefs of humans and pool differ in distribution.

    Notes
    -----
    ``theta = theta_n - Omega (gamma_n - gamma_N)``: theta_n the statistic of humans, gamma that of
    beliefs. ``Omega = C (V_n + V_N)^-1`` minimises the variance ``S - Omega C' - C Omega' + Omega
    (V_n + V_N) Omega'``, which is multiplied by ``1 + 2 k / n`` for k tuned weights, with t(n - 1 -
    k). Valid for every LLM; for a mean it is PPI++ (Kluger et al. 2025, arXiv 2501.18577).

    Examples
    --------
    >>> from llmdemand.calibration.paired import paired_panel
    >>> data = paired_panel(humans=200, llm=1000, seed=1)
    >>> found = debias(lambda rows, y: rows[y].mean(), data.humans, data.beliefs)
    >>> bool(found.table["se"].iloc[0] < found.table["humans_only_se"].iloc[0])
    True
    """
    how = Debiasing(**options)
    if groups < 10:
        raise UsageError(f"groups={groups}: a jackknife needs at least 10, better 200")
    says: list[str] = []
    joined, h, pool, asked = sides_of(humans, beliefs, "logit", how, says)
    design = common_design(statistic, h, pool, joined, how.on)
    outcome, belief = how.outcome, how.belief
    theta_n = numbers(statistic, h, outcome, "humans")
    statistic = _ordered(statistic, list(theta_n.index))
    gamma_n = numbers(statistic, h, belief, "beliefs of humans")
    gamma_pool = numbers(statistic, pool, belief, "beliefs of the pool", design)
    if influence is None:
        rng = np.random.default_rng(how.seed)
        parts = by_jackknife(statistic, (h, pool), (outcome, belief), groups, rng)
        errors = "jackknife over respondents"
    else:
        _same(statistic, influence)
        size, within = len(theta_n), weighs(statistic)
        parts = (
            by_influence(influence, h, outcome, size, None, within=False),
            by_influence(influence, h, belief, size, None, within),
            by_influence(influence, pool, belief, size, design, within),
        )
        errors = "influence function, summed by respondent"
    laws = compare_laws(*joined.told, _names(joined), reps=how.reps, seed=how.seed)
    if laws.p < WARN:
        warn(laws.warning, CalibrationWarning)
    values = theta_n, gamma_n, gamma_pool
    table, cov, omega, df = estimated(values, parts, h.people, how.tune, how.alpha)
    found = evidence_of(how, h, asked, laws, says)
    return Debiased(table, cov, omega, df, h.people, pool.people, errors, found, laws, tuple(says))


def evidence_of(
    how: Debiasing, h: Rows, asked: Asked, laws: SameLaw, says: list[str]
) -> pd.DataFrame:
    """What was checked and what cannot be; what has to be said is added to `says`."""
    if how.prompt_chosen_on is None:
        says.append(NOT_STATED)
    return assumptions(
        Evidence(
            h.people,
            len(h.who),
            how.cluster,
            tuple(says),
            how.design,
            None,
            None,
            laws,
            asked,
            UNCHECKED,
            how.prompt_chosen_on,
        )
    )


def _ordered(statistic: Statistic, names: Sequence[Any]) -> Statistic:
    """A statistic that gives its numbers in the order of these names."""

    @functools.wraps(statistic)
    def asked(*given: Any, **more: Any) -> pd.Series[float]:
        found = by_name(statistic(*given, **more))
        if set(found.index) != set(names):
            other = next(n for n in [*found.index, *names] if (n in found) != (n in names))
            raise DesignError(
                f"the statistic gave {len(names)} numbers of the humans' answers and {len(found)} "
                f"of other rows, and {other!r} is on one side alone: give one number, or a Series "
                "with the same names whatever the rows (rows[outcome].mean(), not rows[outcome])"
            )
        return found.loc[list(names)]

    return asked


def _same(statistic: Statistic, influence: Statistic) -> None:
    if weighs(statistic) != weighs(influence):
        raise UsageError("give weights to both statistic and influence, or to neither")


def sides_of(
    humans: pd.DataFrame,
    beliefs: pd.DataFrame | AnyPanel,
    model: Model,
    how: Debiasing,
    says: list[str],
) -> tuple[Joined, Rows, Rows, Asked]:
    """Humans with their beliefs, and the pool, joined as everywhere in calibration."""
    outcome, belief, cluster, on = how.outcome, how.belief, how.cluster, list(how.on)
    beliefs = in_memory(humans, beliefs, cluster)
    llm = belief_rows(beliefs, model, cluster, how.focal, how.reading, says)
    left, right = columns_of(humans, llm)
    require([cluster, outcome, *on], left, "among the humans")
    require([cluster, belief, *on], right, "among the beliefs")
    own = belief in left and belief != outcome
    frames, kept = [], []
    for name, frame, columns in (
        ("humans", humans, [cluster, *on, outcome, *([belief] if own else [])]),
        ("beliefs", llm, [cluster, *on, belief]),
    ):
        read = plain(frame[list(dict.fromkeys(columns))].reset_index(drop=True))
        for column in {outcome, belief} & set(read.columns):
            if read[column].dtype.kind not in "fiub":
                raise DesignError(f"column {column!r} holds {read[column].dtype}, not numbers")
        read, rows = complete(read, name, how.na, says)
        frames.append(read)
        kept.append(rows)
    joined = join(
        frames[0], frames[1], on, cluster=cluster, belief=belief, own=own, na=how.na, dropped=says
    )
    h = humans.iloc[kept[0][joined.keep_h]].reset_index(drop=True).assign(**{belief: joined.f})
    p = llm.iloc[kept[1][joined.keep_p]].reset_index(drop=True)
    asked = asked_alike(h if own else llm.iloc[kept[1][joined.keep_as_humans]], p)
    who = [np.unique(v, return_inverse=True)[1] for v in (joined.people_h, joined.people_p)]
    return joined, Rows(h, who[0], joined.cell_h), Rows(p, who[1], joined.cell_p), asked


def common_design(
    statistic: Statistic, h: Rows, pool: Rows, joined: Joined, on: Sequence[str]
) -> Array | None:
    """The humans' design; refused where the pool's is another and the statistic has no weights."""
    cells = len(joined.begin)
    counts = np.array([np.bincount(side.cell, minlength=cells) for side in (h, pool)])
    people = [_people(side, cells) for side in (h, pool)]
    for name, count in zip(("humans", "LLM respondents"), people, strict=True):
        if (lone := np.flatnonzero(count < 2)).size:
            raise DesignError(
                f"the cell {_names(joined)[lone[0]]} has {count[lone[0]]} of the {name}, at least "
                f"2 are needed ({lone.size} of {cells} cells are so): ask both sides the same "
                f"{', '.join(on)}, or name with on=... the columns that make the design"
            )
    if weighs(statistic):
        return h.shares(cells)
    shares = counts / counts.sum(axis=1, keepdims=True)
    apart = np.abs(shares[0] - shares[1])
    # Counts that cannot be divided alike differ by one answer.
    if apart.max() > 1.001 * np.sum(1 / counts.sum(axis=1)):
        worst = int(np.argmax(apart))
        raise DesignError(
            f"the pool was asked by another design than the humans: {_names(joined)[worst]} in "
            f"{100 * shares[0, worst]:.3g} % of the humans' answers and "
            f"{100 * shares[1, worst]:.3g} % of the pool's. Give the statistic a third argument, "
            "weights, and use it for every row (statistic(rows, outcome, weights)), or leave rows "
            "of the pool out"
        )
    return None


def _people(side: Rows, cells: int) -> Any:
    pairs = np.unique(np.column_stack([side.cell, side.who]), axis=0)
    return np.bincount(pairs[:, 0], minlength=cells)


def _names(joined: Joined) -> list[str]:
    return [
        ", ".join(f"{k} {v:g}" if isinstance(v, float) else f"{k} {v}" for k, v in row.items())
        or "all"
        for row in joined.rows.to_dict("records")
    ]


def estimated(
    values: Sequence[pd.Series[float]],
    parts: tuple[Array, Array, Array],
    n: int,
    tune: Tuning,
    alpha: float,
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame, float]:
    """Table, covariance, weights on the LLM, degrees of freedom."""
    import pandas as pd
    from scipy import stats

    r, q, p = parts
    names = list(values[0].index)
    for other in values[1:]:
        if list(other.index) != names:
            strange = [str(n) for n in {*names} ^ {*other.index}] or ["their order"]
            raise DesignError(
                f"humans and LLM do not have the same coefficients ({', '.join(sorted(strange))}): "
                "both sides need the same levels of every category, and one base"
            )
    theta_n, gamma_n, gamma_pool = (x.to_numpy(np.float64) for x in values)
    s, c, v = r.T @ r, r.T @ q, q.T @ q + p.T @ p
    omega = best_weights(c, v, tune)
    tuned = {"none": 0, "diagonal": 1, "full": len(names)}[tune] if omega.any() else 0
    if tuned > n - 4:
        raise DesignError(
            f"{tuned} weights cannot be tuned on {n} humans: use tune='diagonal' or 'none'"
        )
    estimate = theta_n - omega @ (gamma_n - gamma_pool)
    least = s - omega @ c.T - c @ omega.T + omega @ v @ omega.T
    cov, df = least * widened(n, tuned), lost(n, tuned)
    se, alone = np.sqrt(np.diag(cov)), np.sqrt(np.diag(s))
    half = float(stats.t.ppf(1 - alpha / 2, df)) * se
    ratio = np.diag(s) / np.diag(least)
    worth = [effective(n, x, tuned) if tuned else n * x for x in ratio.tolist()]
    table = pd.DataFrame(
        {
            "estimate": estimate,
            "se": se,
            "lower": estimate - half,
            "upper": estimate + half,
            "humans_only": theta_n,
            "humans_only_se": alone,
            "llm_only": gamma_pool,
            "n_eff": worth,
        },
        index=names,
    )
    framed = pd.DataFrame(cov, index=names, columns=names)
    return table, framed, pd.DataFrame(omega, index=names, columns=names), df
