"""Belief against choice on one panel: the report."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from llmdemand.core.line import OneLine
from llmdemand.core.shards.shards import AnyPanel, drawn_note, sampled, tallied
from llmdemand.errors import UsageError, choose
from llmdemand.modeling.models.demand import fit_demand
from llmdemand.modeling.outcomes.frames import Reading, apart, default_reading
from llmdemand.reporting.findings import Findings
from llmdemand.reporting.measures.precision import precision
from llmdemand.reporting.measures.quality import quality, quality_tallies
from llmdemand.reporting.measures.selection import selection, selection_tallies
from llmdemand.reporting.parts import BELIEF, CHOICE, Parts
from llmdemand.reporting.tallies.byprice import price_tallies
from llmdemand.reporting.tallies.cells import cell_tallies
from llmdemand.reporting.truth import known_truth

if TYPE_CHECKING:
    from llmdemand.belief.tokens import Response
    from llmdemand.calibration.calibrated import CalibratedDemand
    from llmdemand.calibration.discrepancy import Discrepancy
    from llmdemand.calibration.sample_plan import SamplePlan

__all__ = ["Report", "compare"]


@dataclass(frozen=True, repr=False)
class Report(OneLine, Findings):
    """Everything that is said about one panel. What the panel cannot give is None.

    Attributes
    ----------
    panel : Panel or PanelShards
        The runs.
    belief, choice : Demand or None
        The fits on all usable runs.
    precision : Precision or None
        What n runs would have given.
    quality : Quality
        Statuses, masses, order effects.
    needed : RunsNeeded or None
        Runs for a given accuracy.
    prediction : Prediction or None
        How fits on n runs predict the choices that they have not seen.
    variance : Variance or None
        Where the variance of belief and of choice lies, and what a belief run is worth.
    problems : tuple of str
        Sentences: what is missing or should not be trusted, why, and what to do.
    cost : float or None
        Unit cost, for the price of the highest profit.
    settings : mapping
        The arguments of `compare` that reproduce the report.
    people : People or None
        Human data and what they say: see `with_people`.
    reading : str
        ``final`` or ``pivot``: whose choice all parts are of.
    selection : pandas.DataFrame or None
        What leaving answers of a status out would do: see
        `llmdemand.reporting.measures.selection.selection`.
    """

    @property
    def _line(self) -> str:
        told = "; ".join(d._line for d in self.demands) or "no estimate"
        return f"{self.panel.study.name}, {len(self.panel)} runs, {told}"

    def with_people(
        self,
        calibration: CalibratedDemand,
        discrepancy: Discrepancy | None = None,
        plan: SamplePlan | None = None,
    ) -> Report:
        """The report with a section on people: tables, figures and page show it.

        Parameters
        ----------
        calibration : CalibratedDemand
            From `llmdemand.calibrate`.
        discrepancy : Discrepancy, optional
            From `llmdemand.discrepancy`.
        plan : SamplePlan, optional
            From `llmdemand.plan_sample`.
        """
        from llmdemand.reporting.people import People

        return replace(self, people=People(calibration, discrepancy, plan))

    def to_html(
        self,
        path: str | Path,
        *,
        note: str = "",
        command: str = "",
        cost: float | None = None,
        responses: Mapping[str, Response] | None = None,
    ) -> None:
        """Write one self-contained page.

        Parameters
        ----------
        path : path
            The file.
        note : str
            A sentence on what kind of evidence this is, shown on top.
        command : str
            The command that made it, shown at the end.
        cost : float, optional
            Unit cost for the price of the highest profit; the report's own by default.
        responses : mapping of str to Response, optional
            Responses by run id. With them the page shows sampled answers token by token
            with their candidates; else text, pivot and belief as the panel has them.

        Raises
        ------
        UsageError
            If the path is a folder.
        """
        from llmdemand.reporting.page.html import write_page

        write_page([(self, note)], path, command=command, cost=cost, responses=[responses])

    def save(self, folder: str | Path) -> None:
        """Write ``panel.parquet``, ``tables/`` (CSV, markdown) and ``figures/`` (SVG, PNG).

        A panel of shards stays where it is; ``panel.parquet`` is then the sample of it.
        """
        from llmdemand.reporting.figures.figures import save_figures
        from llmdemand.reporting.tables.tables import save_tables

        folder = Path(folder)
        sampled(self.panel).write(folder / "panel.parquet")
        save_tables(self, folder / "tables")
        save_figures(self, folder / "figures")

    def _repr_html_(self) -> str:
        from html import escape

        from llmdemand.reporting.tables.frames import estimates_table, precision_table

        said = "".join(f"<p>{escape(text)}</p>" for text in (self.verdict(), *self.problems))
        parts = [estimates_table(self)] if self.demands else []
        parts += [precision_table(self)] if self.precision is not None else []
        return said + "".join(part.to_html(index=False) for part in parts)


def compare(
    panel: AnyPanel,
    runs: Sequence[int] = (1, 2, 3, 5, 10, 20),
    *,
    reading: Reading | None = None,
    replications: int = 1000,
    tolerance: float = 0.10,
    confidence: float = 0.95,
    seed: int = 1,
    cost: float | None = None,
    progress: Callable[[float], None] | None = None,
) -> Report:
    """Compare what belief and choice of the same runs say about demand.

    A panel that is too poor for a part gives a report without that part: it is None, and
    ``problems`` says what is missing, why, and what to do.

    Parameters
    ----------
    panel : Panel or PanelShards
        Runs of one study. Of shards statuses, masses, variances and what leaving a status out
        would do are of all runs; what draws runs, of a sample (`llmdemand.core.shards.sample`).
    reading : str, optional
        ``final``: corrected belief and the choice of the whole answer; ``pivot``: both at the
        pivot. By default as `fit_demand`.
    runs, replications, tolerance, confidence, seed
        See `llmdemand.reporting.measures.precision.precision`. Predictions take at most 200
        replications: each is a fit and its scores.
    cost : float, optional
        Unit cost, in the study's unit, for the price of the highest profit.
    progress : callable, optional
        Called with the share of the work that is done.

    Returns
    -------
    Report
        With `to_html`, `save` and the tables.

    Raises
    ------
    UsageError
        For impossible arguments; never for what is in the panel.

    Examples
    --------
    >>> from llmdemand import load_study, simulate
    >>> panel = simulate(load_study("pampers"), "synthetic", runs=20, seed=1)
    >>> report = compare(panel, runs=(1, 5), replications=100)
    >>> report.verdict().startswith("Demand falls with price")
    True
    >>> report.problems
    ()
    """
    from llmdemand.reporting.measures.needed import runs_needed
    from llmdemand.reporting.measures.prediction import prediction
    from llmdemand.reporting.measures.variance import variance

    given: dict[str, Any] = {
        "runs": tuple(runs),
        "replications": replications,
        "tolerance": tolerance,
        "confidence": confidence,
        "seed": seed,
    }
    if reading is not None:
        given["reading"] = reading
    _check(given, cost)
    if panel.study.question is not None:
        raise UsageError(
            f"compare is of studies that ask for a choice, {panel.study.name!r} asks for a "
            f"{panel.study.kind}: use number_precision (on the command line `llmdemand fit`)"
        )
    of = default_reading(panel) if reading is None else reading
    choose(of, Reading, "reading")
    _tally(panel, of)
    parts, bar = Parts(panel), _steps(progress)
    # What corrects belief may be learnt from all runs at once, which are then those of a sample.
    rows, fitted = sampled(panel), apart(panel, of)
    belief = parts.make(BELIEF, lambda: fit_demand(fitted, "belief", reading=of))
    choice = parts.make(CHOICE, lambda: fit_demand(fitted, "choice", reading=of))
    drawn = parts.make(
        "precision",
        lambda: precision(
            rows,
            runs,
            reading=of,
            tolerance=tolerance,
            confidence=confidence,
            replications=replications,
            seed=seed,
            progress=bar(0.0, 0.6),
        ),
        drawn=True,
    )
    needed = parts.make(
        "runs needed",
        lambda: runs_needed(
            panel,
            tolerance=tolerance,
            confidence=confidence,
            replications=replications,
            seed=seed,
            draws=None if drawn is None else drawn.draws,
        ),
        drawn=True,
    )
    predicted = parts.make(
        "prediction",
        lambda: prediction(
            rows,
            runs,
            replications=min(200, replications),
            seed=seed,
            progress=bar(0.6, 1.0),
            reading=of,
        ),
        drawn=True,
    )
    truth = known_truth(panel)
    told = [
        truth.contradiction(demand, name)
        for demand, name in ((belief, BELIEF), (choice, CHOICE))
        if truth is not None and demand is not None
    ]
    spread = parts.make("what a belief run is worth", lambda: variance(panel, reading=of))
    selected = parts.make("check of the statuses", lambda: selection(panel, of))
    return Report(
        panel,
        belief,
        choice,
        drawn,
        quality(panel),
        needed,
        predicted,
        spread,
        (*parts.problems(), *filter(None, told), *_drawn(rows, whole=fitted is panel)),
        cost,
        given | ({} if cost is None else {"cost": cost}),
        reading=of,
        selection=selected,
    )


def _tally(panel: AnyPanel, reading: Reading) -> None:
    """Take what the report says of all runs of shards in one pass over them."""
    if not panel.usable_runs:
        return
    readings: list[Reading] = [reading]
    if reading != "pivot" and default_reading(panel) == "final":
        readings = ["pivot", "final"]
    read = [r for r in readings if apart(panel, r) is panel]
    own = (*cell_tallies(reading), *selection_tallies(reading)) if reading in read else ()
    tallied(panel, (*quality_tallies(panel), *price_tallies(*read), *own))


def _drawn(rows: AnyPanel, *, whole: bool) -> tuple[str, ...]:
    """What of a panel in shards rests on a sample, as a sentence."""
    some, every = ("Precision", "estimates, ") if whole else ("Estimates, precision", "")
    return tuple(
        f"{some}, runs needed, prediction, the means in figures and the answers shown are {note}; "
        f"{every}statuses, the checks of belief and the variances are of all runs."
        for note in drawn_note(rows)
    )


def _check(given: Mapping[str, Any], cost: float | None) -> None:
    """Impossible arguments are said whatever is in the panel."""
    if any(n < 1 for n in given["runs"]) or not given["runs"]:
        raise UsageError(f"runs={given['runs']}: numbers of runs begin at 1")
    if given["replications"] < 1 or not 0 < given["confidence"] < 1 or not given["tolerance"] > 0:
        raise UsageError(
            "replications, tolerance and confidence must be positive, the last below 1"
        )
    if given["seed"] < 0:
        raise UsageError(f"seed={given['seed']}: give a number that is not negative")
    if cost is not None and not np.isfinite(cost):
        raise UsageError(f"cost={cost}: give a finite number, in the study's unit of price")


def _steps(
    progress: Callable[[float], None] | None,
) -> Callable[[float, float], Callable[[float], None] | None]:
    """Progress of a part as progress of the whole."""

    def within(start: float, end: float) -> Callable[[float], None] | None:
        if progress is None:
            return None
        return lambda done: progress(start + (end - start) * done)

    return within
