"""Four measures of one model, against what it chooses itself."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pandas as pd

from llmdemand.belief.measures.coherence import own_choices, usable_words
from llmdemand.belief.measures.similarity import Embed, by_similarity
from llmdemand.core.panel import Panel
from llmdemand.core.questionnaire.measure import CALLED
from llmdemand.core.study import Study
from llmdemand.errors import DesignError
from llmdemand.lab.ask import Ask, Respondent, study_of
from llmdemand.lab.result import COLOUR, MARKER, Result, axes, evidence
from llmdemand.reporting.measures.needed import runs_needed
from llmdemand.simulation.embeddings import embedder_named

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["MeasuresResult", "asks", "measures", "read", "trigrams"]

_COLOUR = {"logprob": "belief", "stated": "other", "similarity": "fourth"}
_SIZE = 4096  # places of three letters
_DIFFERS = 1e-3  # p-value below which a measure is said not to be what the model chooses


@dataclass(frozen=True)
class MeasuresResult(Result):
    """Each measure of the focal alternative's probability against the model's own choices.

    Attributes
    ----------
    measures : pandas.DataFrame
        A row for each of ``logprob, stated, similarity, choice``: ``runs, usable``;
        ``difference`` (mean over cells of probability minus share chosen), ``rmse`` over cells,
        ``slope`` of the share chosen on the probability; ``wald, p`` of choice minus probability
        being 0 on average and not moving with the price; ``variance`` between runs of a cell;
        ``price`` (coefficient of demand), ``runs_needed`` for it and ``closed_form``, as
        `runs_needed` says.
    cells : pandas.DataFrame
        ``measure, cell, price, runs, choices, probability, share``, and ``truth`` where known.
    statuses : pandas.DataFrame
        ``measure, status, runs``.
    said : tuple of str
        What is to be said of a measure beside its numbers.
    """

    measures: pd.DataFrame
    cells: pd.DataFrame
    statuses: pd.DataFrame
    said: tuple[str, ...]

    name: ClassVar[str] = "measures"
    title: ClassVar[str] = "Measures: log-probabilities, stated, similarity, choice"
    files: ClassVar[Mapping[str, str]] = {
        "measures": "measures",
        "cells": "cells",
        "statuses": "statuses",
    }

    @property
    def agreeing(self) -> tuple[str, ...]:
        """Measures that the model's own choices do not contradict: p of 0.001 or more."""
        rows = self.measures[self.measures["measure"] != "choice"]
        return tuple(rows.loc[rows["p"] >= _DIFFERS, "measure"])

    @property
    def holds(self) -> bool:
        """Whether a measure that needs no log-probabilities agrees with the own choices."""
        return bool(set(self.agreeing) & {"stated", "similarity"})

    @property
    def verdict(self) -> str:
        """Which measures the own choices contradict, and the numbers."""
        yes = [f"{CALLED[m]} ({m})" for m in self.agreeing]
        tested = self.measures.loc[self.measures["p"].notna(), "measure"]
        no = [f"{CALLED[m]} ({m})" for m in tested if m not in self.agreeing]
        own: Any = self.measures.set_index("measure").loc["choice"]
        choices = int(own["usable"])
        lead = f"The model's own choices, {choices} of them, "
        if yes:
            lead += f"do not contradict {' and '.join(yes)}"
        if no:
            lead += f"{'; they' if yes else ''} CONTRADICT {' and '.join(no)}"
        lead += "." if yes or no else "can be compared with no measure."
        parts = []
        for row in self.measures.to_dict("records"):
            if row["measure"] == "choice" or not np.isfinite(row["rmse"]):
                continue
            parts.append(
                f"{row['measure']}: probability minus share chosen {row['difference']:.3f}, root "
                f"mean square {row['rmse']:.3f} over cells, slope {row['slope']:.2f}, p "
                f"{row['p']:.2g}, price coefficient {row['price']:.3g}, runs needed "
                f"{_runs(row)}"
            )
        parts.append(
            f"choice: price coefficient {own['price']:.3g}, runs needed {_runs(dict(own))}"
        )
        return " ".join([lead, "; ".join(parts) + ".", *self.said])

    def plot(self, ax: Axes | None = None) -> Axes:
        """Share chosen against probability, a point per cell and measure."""
        ax = axes(ax)
        ax.plot([0, 1], [0, 1], color="0.4", lw=0.8, label="probability = share chosen")
        for measure, colour in _COLOUR.items():
            part = self.cells[self.cells["measure"] == measure]
            row = self.measures[self.measures["measure"] == measure].iloc[0]
            if part.empty:
                ax.plot([], [], lw=0, label=f"{measure}: no usable answer of {row['runs']}")
                continue
            ax.plot(
                part["probability"],
                part["share"],
                MARKER[colour],
                color=COLOUR[colour],
                ms=5.5,
                alpha=0.75,
                lw=0,
                label=f"{measure}, {row['usable']} of {row['runs']} usable",
            )
        runs = int(self.cells["choices"].max()) if len(self.cells) else 0
        ax.set(
            xlabel="mean probability in a cell, by the measure",
            ylabel="share of the model's own choices",
            title=f"A point is a cell of at most {runs} choices",
            xlim=(-0.03, 1.03),
            ylim=(-0.03, 1.03),
        )
        ax.legend(frameon=False, fontsize=8, loc="upper left")
        return ax


def trigrams(texts: list[str]) -> np.ndarray:
    """An embedding that needs no model: how often each three letters occur, (N, 4096).

    It knows spelling and no meaning, which is enough for texts that name their choice.

    >>> trigrams(["tea", "tea or tea"]).sum(axis=1).tolist()
    [3.0, 10.0]
    """
    found = np.zeros((len(texts), _SIZE))
    for row, text in zip(found, texts, strict=True):
        padded = f" {text.casefold()} "
        for k in range(len(padded) - 2):
            row[zlib.crc32(padded[k : k + 3].encode()) % _SIZE] += 1
    return found


def asks(
    study: Study | str = "pampers", *, runs: int = 20, embed: Embed | str | None = None
) -> tuple[Ask, ...]:
    """The study as it is, of whose answers choice, belief and similarity are; and stated."""
    asked = replace(study_of(study), measure="logprob")
    stated = replace(asked, measure="stated", sampling=_plain(asked))
    return Ask("asked", asked, runs), Ask("stated", stated, runs, shift=1)


def _plain(study: Study) -> Any:
    return replace(study.sampling, branch=False, thinking=None)


def measures(
    backend: Respondent | None = None,
    *,
    study: Study | str = "pampers",
    runs: int = 20,
    embed: Embed | str | None = None,
    seed: int = 1,
) -> MeasuresResult:
    """Measure one model's demand in four ways, and compare each with its own choices.

    Parameters
    ----------
    backend, study, seed
        See `llmdemand.lab.experiments.equivalence.equivalence`.
    runs : int
        Runs per cell, of the study and of the same with the request for percentages.
    embed : callable or str, optional
        Of the texts: a function, ``local`` or ``openai``. By default `trigrams` for the
        known-truth consumer, whose texts name their choice in fixed words, and ``local`` else.

    Returns
    -------
    MeasuresResult

    Raises
    ------
    UsageError
        For fewer than one run, or an unknown embedder.
    DesignError
        If no run has a choice.

    Examples
    --------
    >>> found = measures(runs=10)
    >>> set(found.agreeing) >= {"logprob"}, "similarity" in found.agreeing
    (True, False)
    """
    who = backend or Respondent()
    if embed is None:
        embed = trigrams if who.known else "local"
    using: Embed = embedder_named(embed) if isinstance(embed, str) else embed
    wanted = asks(study, runs=runs)
    panels = who.panels(wanted, seed)
    truth = who.truth(wanted[0])
    true = None if truth is None else (lambda cell: truth.truth(cell))
    return read(panels["asked"], panels["stated"], using, true=true, seed=seed)


def read(
    asked: Panel,
    stated: Panel,
    embed: Embed,
    *,
    true: Callable[[Any], Mapping[str, float]] | None = None,
    seed: int = 0,
) -> MeasuresResult:
    """The comparison on two panels of one model, the second of stated probabilities.

    `true` gives the true shares of a cell, where they are known; see `measures` for the rest.
    """
    similar = by_similarity(asked, embed)
    by_name = {"logprob": asked, "stated": stated, "similarity": similar}
    focal = asked.study.focal
    rows, parts, said = [], [], []
    for name, panel in by_name.items():
        known = panel.usable.empty is False
        own = own_choices(panel, asked)[0] if known else None
        rows.append(_row(name, panel, asked, own))
        if own is not None:
            parts.append(own.reset_index().assign(measure=name))
        if words := _told(name, panel):
            said.append(f"{words[:1].upper()}{words[1:]}.")
    rows.append(_choice_row(asked))
    cells = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=_CELLS)
    by_cell = {cell.index: cell for cell in asked.study.cells()}
    cells = cells.assign(price=[by_cell[c].prices[focal] for c in cells["cell"]])
    columns = [*_CELLS]
    if true is not None:
        cells = cells.assign(truth=[true(by_cell[c])[focal] for c in cells["cell"]])
        columns.append("truth")
    counts = [
        {"measure": name, "status": status, "runs": int(n)}
        for name, panel in by_name.items()
        for status, n in panel.statuses.items()
        if n
    ]
    return MeasuresResult(
        evidence(asked),
        seed,
        pd.DataFrame(rows),
        cells[columns],
        pd.DataFrame(counts),
        (*said, f"Texts are embedded by {similar.provenance['similarity']['embedder']}."),
    )


_CELLS = ["measure", "cell", "price", "runs", "choices", "probability", "share"]


def _told(name: str, panel: Panel) -> str:
    """What is to be said of a measure that most answers do not give."""
    if name == "logprob":
        none = "the model gives no log-probabilities that can be used, so no belief"
        return none if panel.usable.empty else ""
    return usable_words(panel) if len(panel.usable) < len(panel) else ""


def _row(name: str, panel: Panel, asked: Panel, own: pd.DataFrame | None) -> dict[str, Any]:
    focal, nothing = panel.study.focal, float("nan")
    found: dict[str, Any] = {"measure": name, "runs": len(panel), "usable": len(panel.usable)}
    by = panel.usable.groupby("cell")[f"belief_{focal}"]
    found |= dict.fromkeys(("difference", "rmse", "slope", "wald", "p"), nothing)
    if own is not None:
        found |= _against(own) | _wald(panel, asked)
    return found | {"variance": float(by.var(ddof=1).mean())} | _demand(panel, "belief")


def _against(own: pd.DataFrame) -> dict[str, float]:
    """How far the choices of cells are from the mean probability."""
    p, y, n = (own[k].to_numpy(float) for k in ("probability", "share", "choices"))
    middle = np.average(p, weights=n)
    spread = (n * (p - middle) ** 2).sum()
    return {
        "difference": float((p - y).mean()),
        "rmse": float(np.sqrt(((p - y) ** 2).mean())),
        "slope": float((n * (p - middle) * y).sum() / spread) if spread > 1e-12 else float("nan"),
    }


def _wald(panel: Panel, asked: Panel) -> dict[str, float]:
    """Whether choice minus probability is 0 on average and at each price alike.

    Of the regression of ``d = choice - probability`` on a constant and the price, both
    coefficients being 0, with covariance HC1: what choice and probability of one run have in
    common is in the variance of d. Stated probabilities are of other runs than the choices; run r
    of a cell is set beside run r, which share nothing.
    """
    from scipy import stats

    focal = panel.study.focal
    said = panel.usable.set_index("run_id")[[f"belief_{focal}", f"price_{focal}"]]
    chosen = _chosen(asked).set_axis(asked.frame["run_id"]).dropna()
    both = said.join(chosen.rename("chosen"), how="inner")
    d = (both["chosen"] == focal).to_numpy(float) - both[f"belief_{focal}"].to_numpy(float)
    price = both[f"price_{focal}"].to_numpy(float)
    x = np.ones((len(d), 1))
    if len(set(price)) > 1:
        x = np.column_stack([x, (price - price.mean()) / price.std()])
    n, k = x.shape
    if n <= k:
        return {}
    if np.abs(d).max() < 1e-9:  # certain, and right each time
        return {"wald": 0.0, "p": 1.0}
    bread = np.linalg.inv(x.T @ x)
    beta = bread @ x.T @ d
    scores = x * (d - x @ beta)[:, None]
    covariance = n / (n - k) * bread @ scores.T @ scores @ bread
    if np.linalg.matrix_rank(covariance) < k:
        return {}
    wald = float(beta @ np.linalg.solve(covariance, beta))
    return {"wald": wald, "p": float(stats.chi2.sf(wald, k))}


def _chosen(asked: Panel) -> pd.Series[str]:
    """The choice of the whole answer; where that is not read, that of the pivot."""
    frame = asked.frame
    return frame["final_choice"].where(frame["final_choice"].notna(), frame["choice"])


def _choice_row(asked: Panel) -> dict[str, Any]:
    final = _chosen(asked)
    known = final.notna()
    if not known.any():
        raise DesignError(f"none of {len(asked)} answers has a choice: there is nothing to compare")
    y = (final[known] == asked.study.focal).astype(float)
    nothing = dict.fromkeys(("difference", "rmse", "slope", "wald", "p"), float("nan"))
    return {
        "measure": "choice",
        "runs": len(asked),
        "usable": int(known.sum()),
        **nothing,
        "variance": float(y.groupby(asked.frame.loc[known, "cell"]).var(ddof=1).mean()),
        **_demand(asked, "choice"),
    }


def _demand(panel: Panel, outcome: str) -> dict[str, float]:
    """Price coefficient and runs needed; NaN where there is none."""
    try:
        found = runs_needed(panel, replications=200)
    except DesignError:
        return dict.fromkeys(("price", "runs_needed", "closed_form"), float("nan"))
    row: Any = found.table.loc[outcome]
    return {
        "price": float(found.values[outcome]),
        "runs_needed": float(row["runs"]),
        "closed_form": float(row["closed_form"]),
    }


def _runs(row: Mapping[Any, Any]) -> str:
    if np.isfinite(row["runs_needed"]):
        return f"{row['runs_needed']:.0f}"
    closed = row["closed_form"]
    return f"{closed:.0f} by the closed form" if np.isfinite(closed) else "unknown"
