"""Whom to ask next: the plan of a sample of humans and LLM respondents."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmdemand.cli.output import warnings_as_lines
from llmdemand.cli.people.inputs import human_table, read_beliefs
from llmdemand.cli.reports import result_folder
from llmdemand.errors import UsageError

if TYPE_CHECKING:
    from llmdemand.calibration.sample_plan import SamplePlan

__all__ = ["plan_of_people"]


def plan_of_people(
    beliefs: Path | None,
    humans: Path | None,
    *,
    rho: float | None,
    target: str,
    at: float | None,
    folder: Path | None,
    **options: Any,
) -> SamplePlan:
    """The plan of a sample of humans and LLM respondents, and its files."""
    from llmdemand.calibration.ppi import calibrate as run
    from llmdemand.calibration.sample_plan import plan_sample
    from llmdemand.core.sheets import write_csv
    from llmdemand.reporting.figures.style import image

    pilot = None
    if humans is not None:
        if beliefs is None:
            raise UsageError("--humans needs the beliefs too: llmdemand plan BELIEFS --humans ...")
        with warnings_as_lines():
            pilot = run(
                human_table(humans),
                read_beliefs(beliefs),
                target=target,  # type: ignore[arg-type]  # checked there, with a message
                at=at,
            )
    found = plan_sample(pilot, rho=rho, **options)
    if folder is not None:
        result_folder(folder).mkdir(parents=True, exist_ok=True)
        write_csv(found.table, folder / "sample_plan.csv", index=True)
        for kind in ("svg", "png"):
            drawn = image(found.plot(), "sample-plan", kind)
            (folder / f"sample-plan.{kind}").write_bytes(drawn)
    return found
