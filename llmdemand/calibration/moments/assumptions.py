"""What calibration assumes: what the data can check, and what they cannot."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from llmdemand.calibration.moments.moments import Moments

__all__ = ["Prompt", "assumptions"]

Prompt = Literal["others", "nobody", "these"]


def assumptions(
    moments: Moments, balance: float, spread: float, prompt: Prompt | None
) -> list[dict[str, Any]]:
    """Rows ``assumption, verdict, evidence``.

    Verdicts are ``holds``, ``in doubt``, ``not stated`` and ``cannot be checked``.

    Parameters
    ----------
    moments : Moments
        The joined data.
    balance : float
        p-value of equal beliefs on both sides.
    spread : float
        Variance of belief between humans of equal regressors.
    prompt : str or None
        On whose answers the prompt was chosen, as the user says.
    """
    pairs = moments.pairs
    n = pairs.humans.respondents
    rows = [
        (
            "each human answer has a belief for the same person and price",
            "holds" if not any("without a belief" in d for d in pairs.dropped) else "in doubt",
            f"{len(pairs.humans.cell):,} answers of {n:,} humans, joined by {pairs.cluster}"
            + "".join(f"; {d}" for d in pairs.dropped if "without a belief" in d),
        ),
        _cells(moments),
        (
            "belief differs between respondents of the same price",
            "holds" if spread > 1e-10 else "in doubt",
            f"standard deviation {np.sqrt(spread):.3g}"
            + ("" if spread > 1e-10 else ": a belief that depends on price alone saves nobody"),
        ),
        (
            "humans and LLM respondents come from one population",
            "holds" if balance >= 0.05 else "in doubt",
            f"equal beliefs on both sides: p = {balance:.3g} (no proof: see discrepancy() for "
            "covariates)",
        ),
        (
            "prompt and model were not chosen on these answers",
            "not stated" if prompt is None else "holds",
            "say so with prompt_chosen_on='others' or 'nobody'"
            if prompt is None
            else f"as stated: chosen on {prompt}",
        ),
        (
            "the humans are a random sample of those the study is about",
            "cannot be checked",
            "from how they were recruited, not from their answers",
        ),
        (
            "what humans say they would buy is what they buy",
            "cannot be checked",
            "calibration is to the answers; only purchases tell",
        ),
    ]
    return [dict(zip(("assumption", "verdict", "evidence"), row, strict=True)) for row in rows]


def _cells(moments: Moments) -> tuple[str, str, str]:
    name = "both sides were asked under the same price design"
    if moments.sampled:
        return (
            name,
            "not stated",
            "design='sampled': regressors are taken for draws from one law on both sides",
        )
    pairs = moments.pairs
    fewest = int(min(moments.people(pairs.humans).min(), moments.people(pairs.pool).min()))
    cells = len(pairs.begin)
    return name, "holds", f"{cells} cells, weighted alike; at least {fewest} respondents in each"
