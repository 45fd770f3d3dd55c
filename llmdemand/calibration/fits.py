"""The four fits of a calibration: humans, LLM, both calibrated, and both as if they were one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from llmdemand.calibration.estimates import LogitFit
from llmdemand.calibration.moments.moments import Moments, Parts, Scores
from llmdemand.calibration.target import Target
from llmdemand.modeling.arrays import Array

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["fit_of", "llm_only", "pooled", "table_of"]

#: Of a standard error: what rounding makes of equal ones.
_SAME = 1e-9


def fit_of(
    moments: Moments, parts: Parts, params: Array, meat: Array, df: float, name: str
) -> LogitFit:
    """Coefficients with the covariance ``bread meat bread``."""
    import pandas as pd

    bread = moments.bread(parts, params)
    terms = moments.pairs.fit.params.index
    cov = pd.DataFrame(bread @ meat @ bread.T, index=terms, columns=terms)
    frame, weights = _cases(moments)
    return LogitFit(
        pd.Series(params, index=terms),
        cov,
        float(df),
        moments.pairs.design,
        frame,
        weights,
        f"{moments.pairs.outcome} ({name})",
    )


def _cases(moments: Moments) -> tuple[pd.DataFrame, Array]:
    """The cases that quantities average over: the cells, or the humans' own."""
    pairs = moments.pairs
    if moments.sampled:
        assert pairs.fit.frame is not None
        return pairs.fit.frame, pairs.fit.weights
    frame = pairs.rows
    if not pairs.outside:
        sizes = np.diff(np.append(pairs.begin, len(frame)))
        name = pairs.design.group  # type: ignore[attr-defined]
        frame = frame.assign(**{name: np.repeat(np.arange(len(sizes)), sizes)})
    return frame, moments.share


def llm_only(moments: Moments, scores: Scores) -> LogitFit:
    """The pool's own logit."""
    parts = moments.llm_parts
    params = moments.solve(parts, "from the LLM alone")
    own = moments.scores(params).pool if moments.sampled else scores.pool
    return fit_of(moments, parts, params, own.T @ own, len(own) - 1, "LLM only")


def pooled(moments: Moments, scores: Scores) -> LogitFit:
    """Everybody as if all were human: a warning, not an estimate."""
    parts, share = moments.pooled_parts, moments.human_share
    params = moments.solve(parts, "from humans and LLM pooled")
    found = moments.scores(params) if moments.sampled else scores
    meat = share**2 * found.r.T @ found.r + (1 - share) ** 2 * found.pool.T @ found.pool
    df = len(found.r) + len(found.pool) - 1
    return fit_of(moments, parts, params, meat, df, "naive pooling")


def table_of(
    fits: Mapping[str, LogitFit], target: Target, n: int, more: int, alpha: float
) -> tuple[pd.DataFrame, str]:
    """The four estimates of the target, and how their intervals were made."""
    import pandas as pd

    count = {"humans only": n, "LLM only": more, "calibrated": n, "naive pooling": n + more}
    note = {
        "humans only": "valid",
        "LLM only": "a statement about the LLM, not about people",
        "calibrated": "valid",
        "naive pooling": "WARNING: biased unless the LLM answers as humans do",
    }
    rows, se, ci = {}, dict[str, float](), ""
    for name, fit in fits.items():
        found = target.quantity(fit, alpha)
        row = found.table.iloc[0]
        rows[name] = {
            **{k: float(row[k]) for k in ("estimate", "se", "lower", "upper")},
            "respondents": count[name],
            "note": note[name],
        }
        se[name] = float(row["se"])
        ci = found.ci if name == "calibrated" else ci
    gain = se["humans only"] / se["calibrated"] - 1
    if abs(gain) > _SAME:
        word = "sharpened by" if gain > 0 else "no sharper for"
        rows["calibrated"]["note"] = f"valid, {word} {more:,} LLM respondents"
    return pd.DataFrame(rows).T.astype(
        dict.fromkeys(("estimate", "se", "lower", "upper"), float) | {"respondents": int}
    ), ci
