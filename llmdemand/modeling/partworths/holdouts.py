"""How well part-worths predict tasks that they were not fitted to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from llmdemand.core.line import OneLine
from llmdemand.modeling.arrays import Array, Codes

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Holdouts", "scored"]

_SMALL = 1e-12


@dataclass(frozen=True, repr=False)
class Holdouts(OneLine):
    """Predictions of holdout tasks.

    Attributes
    ----------
    table : pandas.DataFrame
        By predictor ``hit_rate, hit_rate_se, log_loss, log_loss_se``: the ``model``; the mean
        ``shares`` of the other tasks; ``chance``, equal shares; and the ``ceiling``, what nobody
        can beat who knows the mean answers to each task themselves.
    shares : pandas.DataFrame
        By task and alternative the ``predicted`` and the ``observed`` share.
    tasks, runs : int
        How many.
    outcome : str
        What was observed.
    notes : tuple of str
        What a reader has to know besides.
    """

    table: pd.DataFrame
    shares: pd.DataFrame
    tasks: int
    runs: int
    outcome: str
    notes: tuple[str, ...] = ()

    @property
    def hit_rate(self) -> float:
        """Share of runs whose choice is the alternative with the largest predicted share."""
        return float(self.table["hit_rate"]["model"])

    @property
    def log_loss(self) -> float:
        """Mean of ``- sum_j y_j log p_j``."""
        return float(self.table["log_loss"]["model"])

    @property
    def mean_error(self) -> float:
        """Mean absolute difference of predicted and observed shares by task and alternative."""
        return float((self.shares["predicted"] - self.shares["observed"]).abs().mean())

    def summary(self) -> str:
        """Table and facts as text."""
        row = self.table.loc["model"]
        lines = [
            f"holdout hit rate {row['hit_rate']:.3f} ({row['hit_rate_se']:.2g}), log-loss "
            f"{row['log_loss']:.4f} ({row['log_loss_se']:.2g}), of {self.runs:,} answers to "
            f"{self.tasks} tasks that are not in the fit; shares are off by {self.mean_error:.3f} "
            "on average",
            self.table.to_string(float_format=lambda v: f"{v:.4g}"),
        ]
        return "\n".join([*lines, *(f"note: {n}" for n in self.notes)])

    def __str__(self) -> str:
        return self.summary()


def scored(
    predicted: Array,
    outcome: Array,
    choice: Array,
    task: pd.Series[str],
    usual: Array,
    ids: tuple[str, ...],
    named: str,
) -> Holdouts:
    """Score predictions of N runs.

    Parameters
    ----------
    predicted, outcome, choice : (N, J) arrays
        Predicted shares; what is predicted, belief or choice; and the choice, 0/1, a row of
        zeros where it is unknown.
    task : (N,) series of str
        Names of the holdout tasks, also the clusters of standard errors.
    usual : (J,) array
        Mean shares of the other tasks.
    ids : tuple of str
        Alternatives.
    named : str
        Name of the outcome.

    Returns
    -------
    Holdouts
    """
    import pandas as pd

    place: Codes = np.asarray(pd.factorize(task)[0], np.intp)
    names = list(pd.unique(task))
    j = len(ids)
    # Of corrected beliefs the mean of a task may leave [0, 1]; what nobody can beat does not.
    mean = np.clip(_means(outcome, place), 0.0, None)
    mean = mean / mean.sum(axis=1, keepdims=True)
    rows = {
        "model": predicted,
        "shares": np.broadcast_to(usual, outcome.shape),
        "chance": np.full(outcome.shape, 1 / j),
        "ceiling": mean[place],
    }
    found = {name: _scores(p, outcome, choice, place) for name, p in rows.items()}
    shares = pd.DataFrame(
        {
            "task": np.repeat(names, j),
            "alternative": np.tile(ids, len(names)),
            "predicted": _means(predicted, place).ravel(),
            "observed": _means(outcome, place).ravel(),
        }
    )
    notes = []
    if unread := int((~choice.any(axis=1)).sum()):
        notes.append(f"{unread} runs without a choice are in no hit rate")
    if len(names) < 10:
        notes.append(
            f"standard errors are by task, and {len(names)} tasks tell them roughly"
            if len(names) > 1
            else "one holdout task tells nothing of its own chance"
        )
    table = pd.DataFrame.from_dict(found, orient="index")
    return Holdouts(table, shares, len(names), len(outcome), named, tuple(notes))


def _means(values: Array, place: Codes) -> Array:
    """Means by task."""
    count = np.bincount(place)
    return np.column_stack([np.bincount(place, column) / count for column in values.T])


def _scores(p: Array, outcome: Array, choice: Array, place: Codes) -> dict[str, float]:
    """Hit rate and log-loss of one prediction, with their standard errors."""
    loss = -(outcome * np.log(np.maximum(p, _SMALL))).sum(axis=1)
    # Of alternatives that are equally likely each is the hit as often.
    tied = p >= p.max(axis=1, keepdims=True) - _SMALL
    known = choice.any(axis=1)
    hit = ((tied * choice).sum(axis=1) / tied.sum(axis=1))[known]
    return {
        "hit_rate": float(hit.mean()) if len(hit) else np.nan,
        "hit_rate_se": _se(hit, place[known]),
        "log_loss": float(loss.mean()),
        "log_loss_se": _se(loss, place),
    }


def _se(values: Array, place: Codes) -> float:
    """Standard error of a mean, clustered by task: G / (G - 1) times the sandwich."""
    groups = np.unique(place)
    if len(groups) < 2:
        return float("nan")
    away = np.bincount(place, values - values.mean())
    return float(np.sqrt(len(groups) / (len(groups) - 1) * (away**2).sum()) / len(values))
