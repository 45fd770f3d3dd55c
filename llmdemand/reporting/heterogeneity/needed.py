"""How many runs belief and choice need for the spread of tastes over respondents."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from llmdemand.calibration.figures import LEGEND, new_axes
from llmdemand.core.line import OneLine
from llmdemand.core.panel import Panel
from llmdemand.core.shards.shards import AnyPanel, sampled
from llmdemand.errors import DesignError, UsageError, nearest
from llmdemand.modeling.arrays import Array, Codes
from llmdemand.modeling.outcomes.frames import WHOSE, Reading, default_reading, outcomes
from llmdemand.modeling.outcomes.measured import needs_choices
from llmdemand.modeling.quantities.quantity import COLOURS
from llmdemand.modeling.tastes.answers import Model, people_of
from llmdemand.modeling.tastes.fitting import Fitted, fit
from llmdemand.modeling.tastes.people import People
from llmdemand.modeling.verbatim import verbatim
from llmdemand.reporting.measures.draws import OUTCOMES
from llmdemand.reporting.measures.needed import check_goal
from llmdemand.scale.executors import Executor
from llmdemand.scale.merging import mapped

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["SpreadNeeded", "spread_needed"]

_TRIED = (1, 2, 3, 5, 10, 20, 50)


@dataclass(frozen=True, repr=False)
class SpreadNeeded(OneLine):
    """Runs per prompt with which the spread of a coefficient over respondents is known.

    Attributes
    ----------
    table : pandas.DataFrame
        By ``outcome, runs``: ``mean`` and ``sd`` of the estimated spread over draws, ``bias``
        (the mean less the aim, as a share of it), ``rmse`` (as a share of it), ``within``
        (share of draws that come within the tolerance) and ``failed`` (without an estimate).
    needed : pandas.Series
        By outcome: the smallest number of runs tried from which on `within` reaches the
        confidence; NaN if none does.
    aim : pandas.Series
        By outcome: the spread that was aimed at.
    known : bool
        Whether the aim is a known truth; else it is what the whole pool gives.
    term : str
        The coefficient.
    tolerance, confidence : float
        Within ``tolerance * aim`` with probability `confidence`.
    respondents, pool, replications : int
        Respondents, runs per prompt of the pool, and draws.
    reading : str
        Whose choice.
    """

    table: pd.DataFrame
    needed: pd.Series[float]
    aim: pd.Series[float]
    known: bool
    term: str
    tolerance: float
    confidence: float
    respondents: int
    pool: int
    replications: int
    reading: Reading

    @property
    def ratio(self) -> float:
        """Choice runs per belief run; NaN where one of them is unknown."""
        by = self.needed.to_dict()
        return float(by["choice"] / by["belief"])

    def summary(self) -> str:
        """The numbers in sentences, and the table."""
        what = "the known one" if self.known else f"the pool's ({self.pool} runs per prompt)"
        lines = [
            f"Runs per prompt until the spread of {self.term} over {self.respondents:,} "
            f"respondents lies within {100 * self.tolerance:g} % of {what} with probability "
            f"{100 * self.confidence:g} %, of {WHOSE[self.reading]}"
        ]
        most = int(self.table["runs"].max())
        for outcome, runs in self.needed.items():
            said = f"more than {most}" if math.isnan(runs) else f"{runs:.0f}"
            lines.append(f"  {outcome:<6}  {said}, aim {self.aim.to_dict()[outcome]:.4g}")
        if not self.known and abs(self.aim.iloc[0] / self.aim.iloc[1] - 1) > self.tolerance:
            lines.append(
                "note: the pool's own spreads differ by outcome: that of choice has its own bias, "
                "and closeness to it is not closeness to the truth"
            )
        if self.known and self.pool in set(self.table["runs"]):
            lines.append(
                f"note: of {self.pool} runs the pool is the only draw: that row is one study, its "
                "share within the tolerance 0 or 1; a larger pool tells more"
            )
        table = self.table.to_string(index=False, float_format=lambda v: f"{v:.3g}")
        return "\n".join([*lines, "", table])

    def __str__(self) -> str:
        return self.summary()

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the spreads that come out by the number of runs: means and standard deviations.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where; new axes by default.
        """
        ax = new_axes(ax)
        for place, (outcome, part) in enumerate(self.table.groupby("outcome", sort=False)):
            ax.errorbar(
                part["runs"].to_numpy(np.float64) * (0.97, 1.03)[place],
                part["mean"].to_numpy(np.float64),
                part["sd"].to_numpy(np.float64),
                fmt="os"[place],
                ms=5,
                capsize=3,
                color=COLOURS[place],
                label=str(outcome),
            )
            aim = float(self.aim.to_dict()[str(outcome)])
            if not (self.known and place):
                what = "truth" if self.known else f"pool, {outcome}"
                colour = COLOURS[6] if self.known else COLOURS[place]
                ax.axhline(aim, color=colour, lw=0.9, ls=":", label=what)
        ax.set_xscale("log")
        runs = sorted(self.table["runs"].unique())
        ax.set_xticks(runs, [f"{n:g}" for n in runs])
        ax.minorticks_off()
        ax.set(xlabel="runs per prompt", ylabel=f"spread of {self.term} over respondents")
        ax.legend(ncols=3, **LEGEND)
        return verbatim(ax)

    def _repr_html_(self) -> str:
        return str(self.table.to_html(index=False))


def spread_needed(
    panel: AnyPanel,
    formula: str = "price",
    *,
    term: str = "price",
    runs: Sequence[int] | None = None,
    tolerance: float = 0.10,
    confidence: float = 0.95,
    truth: float | None = None,
    replications: int = 50,
    seed: int = 1,
    alternative: str | None = None,
    model: Model = "logit",
    respondent: str | None = None,
    reading: Reading | None = None,
    progress: Callable[[float], None] | None = None,
    executor: Executor = None,
) -> SpreadNeeded:
    """Find the runs per prompt with which belief and choice know the spread of tastes.

    Parameters
    ----------
    panel : Panel or PanelShards
        The pool, R runs of each prompt, of a study with respondents; of shards all runs of
        some respondents.
    formula, alternative, model, respondent, reading
        See `llmdemand.tastes`; ``pivot`` where answers were stopped at theirs.
    term : str
        The coefficient whose spread is aimed at.
    runs : sequence of int, optional
        Numbers to try; by default 1, 2, 3, 5, 10, 20, 50 up to R.
    tolerance, confidence : float
        Within `tolerance` times the aim with this probability.
    truth : float, optional
        The spread over these respondents, where it is known. By default the aim is what the
        whole pool gives, for each outcome its own.
    replications, seed, progress
        Draws of runs, their seed, and a function that is told the share done.
    executor : None, int, str or dask.distributed.Client
        Who fits the draws: see `llmdemand.scale.merging.map_merge`.

    Returns
    -------
    SpreadNeeded

    Raises
    ------
    UsageError
        For impossible arguments, and an unknown term.
    DesignError
        See `llmdemand.tastes`.

    Notes
    -----
    Of each prompt's R runs n are drawn without replacement, for both outcomes the same, and
    `llmdemand.tastes` is fitted to each. The respondents stay the same: what is measured is
    the error that runs leave, bias included. Against the pool's own spread the error is
    divided by ``sqrt(1 - n / R)``, which corrects for the runs that draw and pool share.
    """
    check_goal(tolerance, confidence)
    if replications < 1:
        raise UsageError(f"replications={replications}: draw once or more")
    if truth is not None and not 0 < truth < math.inf:
        raise UsageError(f"truth={truth}: a known spread is a positive number")
    panel = sampled(panel, "people")
    panel.study.unweighted("the spread of tastes")
    reading = _reading(panel, reading)
    needs_choices(panel, "spread_needed")
    said = outcomes(panel, reading)
    name = panel.study.focal if alternative is None else alternative
    pools = {
        o: people_of(
            panel, said, formula, outcome=o, alternative=name, model=model, respondent=respondent
        )
        for o in ("belief", "choice")
    }
    terms = pools["belief"].terms
    if term not in terms:
        raise UsageError(
            f"no coefficient {term!r}{nearest(term, terms)}: this formula has {', '.join(terms)}"
        )
    prompt = panel.frame["cell"].astype("category").cat.codes.to_numpy().astype(np.intp)
    size = int(np.bincount(prompt).max())
    tried = _tried(runs, size, known=truth is not None)
    noise: dict[str, float | None] = {"belief": None, "choice": 1.0}
    whole = {o: fit(p.choices, noise=noise[o]) for o, p in pools.items()}
    aim = {o: truth if truth is not None else _spread(pools[o], f, term) for o, f in whole.items()}
    found = np.full((len(OUTCOMES), len(tried), replications), np.nan)
    children = np.random.SeedSequence(seed).spawn(replications)
    each = _Draw(pools, whole, prompt, tuple(tried), noise, term)
    for r, spreads in enumerate(mapped(each, children, executor)):
        found[:, :, r] = spreads
        if progress is not None:
            progress((r + 1) / replications)
    shrink = np.sqrt(1 - np.array(tried) / size) if truth is None else np.ones(len(tried))
    parts = [
        _row(outcome, n, found[o, k], aim[outcome], shrink[k], tolerance)
        for o, outcome in enumerate(OUTCOMES)
        for k, n in enumerate(tried)
    ]
    table = pd.DataFrame(parts)
    return SpreadNeeded(
        table=table,
        needed=pd.Series({o: _first(table[table["outcome"] == o], confidence) for o in OUTCOMES}),
        aim=pd.Series(aim),
        known=truth is not None,
        term=term,
        tolerance=tolerance,
        confidence=confidence,
        respondents=len(pools["belief"].ids),
        pool=size,
        replications=replications,
        reading=reading,
    )


@dataclass(frozen=True)
class _Draw:
    """The spreads of one draw of runs, by its seed: by outcome and number of runs, NaN for none."""

    pools: dict[str, People]
    whole: dict[str, Fitted]
    prompt: Codes
    tried: tuple[int, ...]
    noise: dict[str, float | None]
    term: str

    def __call__(self, child: np.random.SeedSequence) -> Array:
        found = np.full((len(OUTCOMES), len(self.tried)), np.nan)
        rank = _ranks(self.prompt, np.random.default_rng(child))
        for o, outcome in enumerate(OUTCOMES):
            people = self.pools[outcome]
            for k, n in enumerate(self.tried):
                data = people.some(rank[people.label] < n)
                try:
                    fitted = fit(data, noise=self.noise[outcome], start=self.whole[outcome])
                except DesignError:
                    continue  # nothing to fit: it is counted as failed
                found[o, k] = _spread(people, fitted, self.term)
        return found


def _reading(panel: Panel, asked: Reading | None) -> Reading:
    """Whose choice; answers that were stopped have no final one to set beside belief."""
    stopped = int((panel.frame["final_status"] == "stopped").sum())
    if asked is None:
        return "pivot" if stopped else default_reading(panel)
    if asked == "final" and stopped:
        raise UsageError(
            f"{stopped} of {len(panel)} answers were stopped at their pivot, and few runs of a "
            "prompt do not tell how the rest would have ended: use reading='pivot', or whole "
            "answers; tastes weights them"
        )
    return asked


def _tried(runs: Sequence[int] | None, size: int, *, known: bool) -> list[int]:
    """Numbers of runs; all R of them are a draw of their own only against a known truth."""
    most = size if known else size - 1
    asked = sorted(set(_TRIED if runs is None else runs))
    tried = [int(n) for n in asked if 1 <= n <= most]
    beyond = [n for n in asked if not 1 <= n <= most]
    if not most:
        raise UsageError(
            "the pool has 1 run per prompt, of which no part can be drawn and compared with it: "
            "simulate more runs, or give the known truth=..."
        )
    if not tried or (runs is not None and beyond):
        raise UsageError(
            f"runs={list(asked)}: the pool has {size} runs per prompt, of which 1 to {most} can be "
            "drawn" + ("" if known else " and compared with it; a known truth=... needs no pool")
        )
    return tried


def _ranks(prompt: Codes, rng: np.random.Generator) -> Codes:
    """A random place of each run among those of its prompt, from 0."""
    order = np.lexsort((rng.random(len(prompt)), prompt))
    number = np.bincount(prompt)
    rank = np.empty(len(prompt), np.intp)
    rank[order] = np.arange(len(prompt)) - np.repeat(np.cumsum(number) - number, number)
    return rank


def _spread(people: People, fitted: Fitted, term: str) -> float:
    way = people.back[people.terms.index(term)]
    return float(np.sqrt(max(way @ fitted.law.covariance @ way, 0.0)))


def _row(
    outcome: str, runs: int, found: Array, aim: float, shrink: float, tolerance: float
) -> dict[str, object]:
    some = found[np.isfinite(found)]
    error = some / aim - 1
    good = np.abs(error) / shrink <= tolerance
    return {
        "outcome": outcome,
        "runs": runs,
        "mean": some.mean() if len(some) else math.nan,
        "sd": some.std(ddof=1) if len(some) > 1 else math.nan,
        "bias": error.mean() if len(some) else math.nan,
        "rmse": math.sqrt((error**2).mean()) if len(some) else math.nan,
        "within": good.sum() / len(found),  # a draw without an estimate is a miss
        "failed": 1 - len(some) / len(found),
    }


def _first(table: pd.DataFrame, confidence: float) -> float:
    """The runs from which on all that was tried is enough: a spread may also be met by chance."""
    enough = (table["within"] >= confidence).to_numpy()[::-1].cumprod()[::-1].astype(bool)
    return float(table["runs"].to_numpy()[enough].min()) if enough.any() else math.nan
