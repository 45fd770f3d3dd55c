"""Figures on people: those that calibration, discrepancy and plan draw of themselves."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from llmdemand.reporting.figures import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["PEOPLE_FIGURES"]


def _of(part: str, draw: Callable[[Any, Any], Axes]) -> Callable[..., Axes]:
    def figure(report: Any, ax: Axes | None = None) -> Axes:
        if not _has(report, part):
            axes = style.new_axes(ax)
            return style.nothing(axes, f"no {part} with human data: there is nothing to draw")
        return draw(getattr(report.people, part), ax)

    return figure


def _has(report: Any, part: str) -> bool:
    people = getattr(report, "people", None)
    return people is not None and getattr(people, part) is not None


_BEYOND = {
    "spread": "How respondents of the LLM differ from each other, over how people do, with "
    "intervals.",
    "counts": "People and LLM respondents by how often they take the product.",
    "subgroups": "LLM minus humans in each group of people, with intervals.",
    "individuals": "What the LLM knows of the single person: 0 knows nobody.",
    "held_out": "What is said of prices or products whose human answers were left out.",
}


def _has_beyond(report: Any, name: str) -> bool:
    if not _has(report, "discrepancy"):
        return False
    beyond = report.people.discrepancy.fidelity
    return beyond is not None and getattr(beyond, name) is not None


def _beyond(name: str) -> Callable[..., Axes]:
    def figure(report: Any, ax: Axes | None = None) -> Axes:
        if not _has_beyond(report, name):
            axes = style.new_axes(ax)
            return style.nothing(axes, "this was not compared with people: nothing to draw")
        drawn: Axes = getattr(report.people.discrepancy.fidelity, f"plot_{name}")(ax)
        return drawn

    return figure


#: Figures on people: function, caption, whether the report has the part.
PEOPLE_FIGURES: dict[str, tuple[Callable[..., Axes], str, Callable[[Any], bool]]] = {
    "people": (
        _of("calibration", lambda found, ax: found.plot(ax)),
        "The target by humans alone, the LLM alone, and both; pooling them as one sample is a "
        "warning, not an estimate.",
        lambda r: _has(r, "calibration"),
    ),
    "people-demand": (
        _of("calibration", lambda found, ax: found.plot_demand(ax)),
        "Demand of humans, of the LLM, and calibrated, with 95 % bands and shares by price.",
        lambda r: _has(r, "calibration") and r.people.calibration.moments.pairs.outside,
    ),
    "people-beliefs": (
        _of("calibration", lambda found, ax: found.plot_beliefs(ax)),
        "What the LLM said as the humans and as its further respondents: calibration leans on that "
        "the two are alike.",
        lambda r: _has(r, "calibration"),
    ),
    "discrepancy": (
        _of("discrepancy", lambda found, ax: found.plot(ax)),
        "Share of the LLM minus share of humans, with intervals.",
        lambda r: _has(r, "discrepancy"),
    ),
    **{
        f"fidelity-{name.replace('_', '-')}": (
            _beyond(name),
            f"{caption} Heuristic: for exploring, not for claims.",
            partial(_has_beyond, name=name),
        )
        for name, caption in _BEYOND.items()
    },
    "sample-plan": (
        _of("plan", lambda found, ax: found.plot(ax)),
        "Humans to ask, and what the goal costs with the LLM's help.",
        lambda r: _has(r, "plan"),
    ),
}
