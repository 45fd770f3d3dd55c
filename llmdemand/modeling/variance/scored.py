"""What a score bootstrap finds: a test, and an interval."""

from __future__ import annotations

from dataclasses import dataclass

from llmdemand.modeling.arrays import Array
from llmdemand.modeling.printed import Printed, with_notes

__all__ = ["ScoreInterval", "ScoreTest"]


@dataclass(frozen=True, repr=False)
class ScoreTest(Printed):
    """A score bootstrap test of ``R b = r``.

    Attributes
    ----------
    statistic : float
        Score statistic in the form of Wald's, for one restriction the square of t.
    pvalue : float
        Share of draws, the data among them, whose statistic is at least as large.
    df : int
        q, the number of restrictions.
    reps : int
        Draws.
    enumerated : bool
        Whether these were all vectors of signs, so that nothing is random.
    clusters : int
        G.
    group : str
        What the clusters are.
    weights : str
        Distribution of the weights.
    params : (K,) array
        The restricted estimate.
    """

    statistic: float
    pvalue: float
    df: int
    reps: int
    enumerated: bool
    clusters: int
    group: str
    weights: str
    params: Array

    def __str__(self) -> str:
        how = f"all {self.reps} vectors of signs" if self.enumerated else f"{self.reps} draws"
        what = "1 restriction" if self.df == 1 else f"{self.df} restrictions"
        return (
            f"Score bootstrap test of {what}\n"
            f"statistic = {self.statistic:.5g}, p = {self.pvalue:.4g}\n"
            f"{self.clusters} clusters of {self.group!r}, {self.weights} weights, {how}"
        )


@dataclass(frozen=True, repr=False)
class ScoreInterval(Printed):
    """All values of a coefficient that a score bootstrap test does not reject.

    Attributes
    ----------
    low, high : float
        Ends; infinite where no value is rejected.
    estimate : float
        The estimate.
    alpha : float
        One minus the level.
    clusters : int
        G.
    notes : tuple of str
        What to know about it.
    """

    low: float
    high: float
    estimate: float
    alpha: float
    clusters: int
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        head = (
            f"{100 * (1 - self.alpha):g} % score bootstrap interval "
            f"[{self.low:.6g}, {self.high:.6g}], {self.clusters} clusters"
        )
        return with_notes([head], self.notes)
