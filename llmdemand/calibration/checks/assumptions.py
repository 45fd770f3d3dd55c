"""What calibration assumes: what the data can check, and what they cannot."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from llmdemand.calibration.checks.laws import SameLaw
from llmdemand.calibration.checks.leakage import Leak
from llmdemand.calibration.checks.options import Prompt
from llmdemand.calibration.checks.unseen import Unseen
from llmdemand.calibration.samples.asked import Asked

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Evidence", "assumptions"]


@dataclass(frozen=True)
class Evidence:
    """What was found of the data.

    Attributes
    ----------
    humans, answers : int
        Of the human side.
    cluster : str
        Column by which the sides were joined.
    dropped : tuple of str
        What was left out, in sentences.
    design : pair of str
        Verdict and evidence of one price design on both sides.
    spread : float or None
        Standard deviation of belief between respondents of equal regressors; None if unknown.
    balance : float or None
        p-value of equal mean scores of belief on both sides.
    laws : SameLaw
        Beliefs of both sides, compared.
    asked : Asked
        Records of how the LLM was asked.
    leak : Leak
        Whether belief knows the answers.
    prompt : str or None
        On whose answers the prompt was chosen, as the user says.
    sampling : str
        How humans were weighted; empty if they were not.
    unseen : Unseen or None
        What the comparison of beliefs could not have seen.
    """

    humans: int
    answers: int
    cluster: str
    dropped: tuple[str, ...]
    design: tuple[str, str]
    spread: float | None
    balance: float | None
    laws: SameLaw
    asked: Asked
    leak: Leak
    prompt: Prompt | None
    sampling: str = ""
    unseen: Unseen | None = None


def assumptions(found: Evidence) -> pd.DataFrame:
    """Rows ``assumption, verdict, evidence``.

    Verdicts are ``holds``, ``in doubt``, ``not stated`` and ``cannot be checked``.
    """
    import pandas as pd

    lost = [d for d in found.dropped if "without a belief" in d]
    rows = [
        (
            "each human answer has a belief for the same person and price",
            "in doubt" if lost else "holds",
            f"{found.answers:,} answers of {found.humans:,} humans, joined by {found.cluster}"
            + "".join(f"; {d}" for d in lost),
        ),
        ("both sides were asked under the same price design", *found.design),
        _spread(found.spread),
        _population(found),
        ("the LLM was asked alike on both sides", found.asked.verdict, found.asked.evidence),
        ("the LLM has not seen these answers", found.leak.verdict, found.leak.evidence),
        (
            "prompt and model were not chosen on these answers",
            "not stated" if found.prompt is None else "holds",
            "say so with prompt_chosen_on='others' or 'nobody'"
            if found.prompt is None
            else "each human's belief is of the prompt that other humans chose"
            if found.prompt == "cross-fitted"
            else f"as stated: chosen on {found.prompt}",
        ),
        (
            "the humans are a random sample of those the study is about",
            "cannot be checked",
            found.sampling or "from how they were recruited, not from their answers",
        ),
        (
            "what humans say they would buy is what they buy",
            "cannot be checked",
            "calibration is to the answers; only purchases tell",
        ),
    ]
    return pd.DataFrame(rows, columns=["assumption", "verdict", "evidence"])


def _spread(spread: float | None) -> tuple[str, str, str]:
    name = "belief differs between respondents of the same price"
    if spread is None:
        return name, "cannot be checked", "the statistic is not one of cells"
    if spread > 1e-5:
        return name, "holds", f"standard deviation {spread:.3g}"
    return (
        name,
        "in doubt",
        f"standard deviation {spread:.3g}: a belief that depends on price alone saves nobody",
    )


def _population(found: Evidence) -> tuple[str, str, str]:
    p = [v for v in (found.balance, found.laws.p) if v is not None and v == v]
    said = (
        f"distributions of belief by cell: p = {found.laws.p:.3g}"
        if found.laws.tested
        else "distributions are not compared, as the two sides were sampled differently"
    )
    if found.balance is not None:
        said = f"equal mean beliefs on both sides: p = {found.balance:.3g}; {said}"
    return (
        "humans and LLM respondents come from one population",
        ("holds" if min(p) >= 0.05 else "in doubt") if p else "cannot be checked",
        f"{said} (no proof: "
        + (found.unseen.sentence if found.unseen else "see discrepancy() for covariates")
        + ")",
    )
