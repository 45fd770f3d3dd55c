"""Whether the LLM knows the person: its belief as a respondent against that respondent's answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from llmdemand.calibration.fidelity.sides import LEAST, Sides, interval
from llmdemand.errors import DesignError
from llmdemand.modeling.arrays import Array

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Individuals", "individuals", "tabled"]


@dataclass(frozen=True)
class Individuals:
    """Answers and beliefs of the same people at the same prices or choice sets.

    Attributes
    ----------
    table : pandas.DataFrame
        By measure: ``estimate, se, lower, upper, reference, against``: the reference is what
        the measure would be for a belief that knows nothing of the person, and `against` says
        which.
    respondents, answers : int
        Pairs of answer and belief.
    impossible : int
        Answers to which belief gave no probability at all: their log score is minus infinity.
    told : tuple of str
        The measures that are named first.
    retested : int
        Pairs of answers of one human to one choice set.
    single : bool
        Whether the LLM gave choices and no probabilities, so that it has no likelihood.
    """

    table: pd.DataFrame
    respondents: int
    answers: int
    impossible: int
    told: tuple[str, ...] = ("kappa within prices",)
    retested: int = 0
    single: bool = False

    @property
    def found(self) -> str:
        """The first measures, in words."""
        rows = ((name, self.table.loc[name]) for name in self.told)
        return ", ".join(
            f"{name} {r['estimate']:.2f} ({r['lower']:.2f} to {r['upper']:.2f})"
            + (f" against {r['reference']:.2f} at random" if r["reference"] else "")
            for name, r in rows
        )

    @property
    def notes(self) -> list[str]:
        """What has to be known of them."""
        said = []
        if self.impossible:
            said.append(
                f"{self.impossible} answers were given no probability at all: the log score is "
                "minus infinity"
            )
        if self.single:
            said.append(
                "the LLM gave choices and no probabilities: its likelihood person by person is "
                "not defined; that of the demand fitted to its choices stands in its place"
            )
        return said


def individuals(sides: Sides, alpha: float) -> Individuals:
    """Agreement person by person.

    Parameters
    ----------
    sides, alpha
        See `llmdemand.calibration.fidelity.spread.spread`.

    Raises
    ------
    DesignError
        If fewer than ten people are on both sides at one price, or beliefs leave [0, 1].

    Notes
    -----
    Of answer y and belief f the agreement is ``y f + (1 - y)(1 - f)``, that of y with a choice
    drawn from f. *kappa* (Cohen 1960) is ``(A - C) / (1 - C)`` with C the agreement of the two
    overall means; *kappa within prices* takes C price by price, so that it is 0 for a belief that
    knows prices alone. Log and Brier scores are means over answers; the humans' own margin is the
    share of yeses among the *other* humans at the price, ``(k + 1/2) / (n + 1)``. Nothing is
    clipped: one answer that belief held impossible makes the log score minus infinity.
    Intervals are percentiles of a bootstrap over respondents.
    """
    both = sides.asked[0] * sides.asked[1]
    n = int(np.sum(both.any(axis=1)))
    if n < LEAST:
        raise DesignError(
            f"{n} humans have LLM answers under their own id at the same price: agreement person "
            f"by person needs {LEAST}"
        )
    y, f = sides.mean[0] * both, sides.mean[1] * both
    if ((f < 0) | (f > 1)).any():
        raise DesignError(
            "corrected beliefs of single answers leave [0, 1]: they are right on average and no "
            "probabilities of one person; reading='pivot' compares people"
        )
    others = _margins(sides, both)
    scores = [_scores(y, p, both) for p in (f, others)]
    impossible = int(np.sum(~np.isfinite(scores[0][0])))
    parts = [both, y, f, y * f, y * y, f * f, *(s for pair in scores for s in pair)]
    sums = sides.sums(np.stack([np.where(np.isfinite(p), p, 0.0) for p in parts], axis=1))
    rows = _measures(sums, impossible)
    return Individuals(tabled(rows, alpha), n, int(both.sum()), impossible)


def tabled(rows: Mapping[str, tuple[Array, Array, str]], alpha: float) -> pd.DataFrame:
    """Measures, what each would be without knowledge of the person, and what that is.

    Parameters
    ----------
    rows : mapping of str to (array, array, str)
        By measure its value and its reference, each by draw of the bootstrap, and the reference
        in words.
    alpha : float
        One minus the confidence level.
    """
    import pandas as pd

    return pd.DataFrame(
        {
            name: {
                "estimate": float(value[0]),
                **dict(zip(("se", "lower", "upper"), interval(value, alpha), strict=True)),
                "reference": float(reference[0]),
                "against": against,
            }
            for name, (value, reference, against) in rows.items()
        }
    ).T.infer_objects()


def _measures(sums: Array, impossible: int) -> dict[str, tuple[Array, Array, str]]:
    """Value, reference and what that is, each by draw of the bootstrap."""
    n, y, f, yf, yy, ff, log, brier, log0, brier0 = np.moveaxis(sums, 1, 0)
    whole = n.sum(axis=1)
    agree = (n - y - f + 2 * yf).sum(axis=1) / whole
    p, q = y.sum(axis=1) / whole, f.sum(axis=1) / whole
    chance = p * q + (1 - p) * (1 - q)
    with np.errstate(divide="ignore", invalid="ignore"):
        by_price = np.where(n > 0, n - y - f + 2 * y * f / n, 0).sum(axis=1) / whole
        kappa, within = ((agree - c) / (1 - c) for c in (chance, by_price))
        moved = [
            np.where(n > 0, a - b * c / n, 0).sum(axis=1)
            for a, b, c in ((yf, y, f), (yy, y, y), (ff, f, f))
        ]
        correlation = moved[0] / np.sqrt(moved[1] * moved[2])
    none = np.zeros_like(agree)
    score = np.full_like(agree, -np.inf) if impossible else log.sum(axis=1) / whole
    own, own_brier = log0.sum(axis=1) / whole, brier0.sum(axis=1) / whole
    margin = "the other humans' share at the price"
    return {
        "agreement": (agree, by_price, "chance, given both means at each price"),
        "kappa": (kappa, none, "chance, given both overall means"),
        "kappa within prices": (within, none, "chance, given both means at each price"),
        "correlation within prices": (correlation, none, "a belief that depends on price alone"),
        "log score": (score, own, margin),
        "log score, gain": (score - own, none, margin),
        "Brier score": (brier.sum(axis=1) / whole, own_brier, margin),
        "Brier score, gain": (own_brier - brier.sum(axis=1) / whole, none, margin),
    }


def _margins(sides: Sides, both: Array) -> Array:
    """Share of yeses among the other humans at each price, shrunk by half an answer each way."""
    asked, y = sides.asked[0], sides.mean[0]
    n, k = asked.sum(axis=0) - asked, (asked * y).sum(axis=0) - y
    return np.asarray((k + 0.5) / (n + 1) * both)


def _scores(y: Array, p: Array, both: Array) -> tuple[Array, Array]:
    """Log score and squared error of each answer; 0 where there is none."""
    with np.errstate(divide="ignore", invalid="ignore"):
        yes, no = np.where(y > 0, y * np.log(p), 0), np.where(y < 1, (1 - y) * np.log1p(-p), 0)
    return np.where(both > 0, yes + no, 0), both * (y - p) ** 2
