"""What a report says about people: calibration, discrepancy, and whom to ask next."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from llmdemand.calibration.calibrated import CalibratedDemand
    from llmdemand.calibration.discrepancy import Discrepancy
    from llmdemand.calibration.sample_plan import SamplePlan

__all__ = ["People"]


@dataclass(frozen=True)
class People:
    """Human data beside a language model's.

    Attributes
    ----------
    calibration : CalibratedDemand
        Valid for people whatever the LLM does: statistical calibration.
    discrepancy : Discrepancy or None
        How far the LLM is from these people: heuristic validation.
    plan : SamplePlan or None
        Whom to ask next.
    """

    calibration: CalibratedDemand
    discrepancy: Discrepancy | None = None
    plan: SamplePlan | None = None

    def __post_init__(self) -> None:
        if self.discrepancy is not None:
            # What licenses claims stands beside what does not.
            compared = self.discrepancy.beside(calibration=self.calibration.verdict())
            object.__setattr__(self, "discrepancy", compared)

    @property
    def texts(self) -> list[str]:
        """What was found, in sentences: the calibrated part, then the heuristic one."""
        said = [
            f"Statistical calibration. {self.calibration.verdict()}",
            *(f"Note: {note}." for note in self.calibration.notes),
        ]
        if self.discrepancy is not None:
            said.append(f"Heuristic validation. {self.discrepancy.verdict()}")
            if (beyond := self.discrepancy.fidelity) is not None:
                reasons = tuple(beyond.why.values())  # they are in the table of licences
                said += [
                    f"Heuristic, beyond the mean: {note}."
                    for note in beyond.notes
                    if not note.endswith(reasons or ("\n",))
                ]
        if self.plan is not None:
            said.append(f"Next sample. {self.plan.verdict()}")
        return said
