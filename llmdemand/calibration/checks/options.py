"""Options of calibrations, and what is warned of."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any, Literal

import numpy as np

from llmdemand.errors import UsageError

__all__ = [
    "BALANCE",
    "NOT_STATED",
    "PRICE_ONLY",
    "CalibrationWarning",
    "Lam",
    "Law",
    "Prompt",
    "check_options",
    "check_prompt",
    "few_humans",
]

Lam = Literal["tuned", "aipw"] | float
Law = Literal["answers", "units"]
Prompt = Literal["others", "nobody", "these", "cross-fitted"]
PRICE_ONLY = (
    "belief does not vary between respondents of the same price: it cannot stand in for any human, "
    "lambda is 0 and the estimate that of humans alone; ask the LLM as each respondent (personas)"
)
NOT_STATED = (
    "WARNING: it is not stated whose answers chose prompt and model (prompt_chosen_on=...): if "
    "those of these humans did, intervals are too short and the humans saved too many."
)


#: p-value of equal mean beliefs below which both sides are warned of.
BALANCE = 0.001


def few_humans(n: int) -> str:
    """What a result from few humans has to say, loudly.

    >>> few_humans(12)[:11]
    '12 humans: '
    """
    return (
        f"{n} humans: so few carry neither a standard error nor the LLM's worth; take the interval "
        "of the humans saved for what it is, and ask at least 40, better 60"
    )


class CalibrationWarning(UserWarning):
    """Beliefs that cannot help, or an assumption that the data contradict."""


def check_options(lam: Any, alpha: float, reps: int, seed: int, prompt: Any) -> None:
    """Raise `UsageError` for impossible options of a calibration."""
    if isinstance(lam, str):
        if lam not in ("tuned", "aipw"):
            raise UsageError(f"lam={lam!r}: use 'tuned', 'aipw' or a number from 0")
    elif not isinstance(lam, Real) or not 0 <= float(lam) < np.inf:
        raise UsageError(f"lam={lam}: use a number from 0 (humans alone), 'tuned' or 'aipw'")
    if not isinstance(alpha, Real) or not 0 < float(alpha) < 1:
        raise UsageError(f"alpha={alpha!r}: give one minus the confidence level, as 0.05")
    whole = isinstance(reps, Integral) and isinstance(seed, Integral)
    if not whole or reps < 2 or seed < 0:
        raise UsageError(
            f"reps={reps!r}, seed={seed!r}: give whole numbers, at least 2 draws and a seed from 0"
        )
    check_prompt(prompt)


def check_prompt(prompt: Any) -> None:
    """Raise `UsageError` for a prompt that was chosen on the humans themselves."""
    if prompt not in (None, "others", "nobody", "these"):  # what is cross-fitted is done here
        raise UsageError(f"prompt_chosen_on={prompt!r}: use 'others', 'nobody' or 'these'")
    if prompt == "these":
        raise UsageError(
            "prompt_chosen_on='these': a prompt that was chosen on these humans' answers fits them "
            "better than it fits others, and intervals would be too short; give all that were "
            "tried as prompts=[...], which chooses by cross-fitting, or calibrate with humans "
            "whose answers were not looked at (split them first)"
        )
