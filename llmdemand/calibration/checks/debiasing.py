"""Options that `debias` and `debias_fit` share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypedDict

from llmdemand.calibration.checks.options import Prompt, check_options
from llmdemand.calibration.moments.statistic import Tuning
from llmdemand.errors import choose
from llmdemand.modeling.outcomes.frames import Reading
from llmdemand.modeling.sample.sample import NA

__all__ = ["DebiasOptions", "Debiasing"]


class DebiasOptions(TypedDict, total=False):
    """The same as keywords: see `llmdemand.calibration.debias.debias`."""

    outcome: str
    belief: str
    cluster: str
    on: Sequence[str]
    focal: str | None
    reading: Reading | None
    tune: Tuning
    na: NA
    prompt_chosen_on: Prompt | None
    alpha: float
    reps: int
    seed: int


@dataclass(frozen=True)
class Debiasing:
    """How humans and beliefs are joined, and how the LLM's weight is found.

    Attributes
    ----------
    outcome, belief, cluster, on, focal, reading, tune, na, prompt_chosen_on, alpha, reps, seed
        See `llmdemand.calibration.debias.debias`.

    Raises
    ------
    UsageError
        For impossible options.
    """

    outcome: str = "choice"
    belief: str = "belief"
    cluster: str = "respondent_id"
    on: Sequence[str] = ("price",)
    focal: str | None = None
    reading: Reading | None = None
    tune: Tuning = "diagonal"
    na: NA = "raise"
    prompt_chosen_on: Prompt | None = None
    alpha: float = 0.05
    reps: int = 999
    seed: int = 1

    def __post_init__(self) -> None:
        choose(self.tune, Tuning, "tune")
        check_options("tuned", self.alpha, self.reps, self.seed, self.prompt_chosen_on)

    @property
    def design(self) -> tuple[str, str]:
        """Verdict and evidence of one design on both sides, which the joining makes sure of."""
        return "holds", f"by {', '.join(self.on)}" if self.on else "everybody was asked the same"
