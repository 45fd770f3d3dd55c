"""How well part-worths predict tasks that they were not fitted to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from llmdemand.core.line import OneLine
from llmdemand.modeling.arrays import Array

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

    n, j = predicted.shape
    place: Array = np.asarray(pd.factorize(task)[0], np.intp)
    count = np.bincount(place)
    # Of corrected beliefs the mean of a task may leave [0, 1]; what nobody can beat does not.
    mean = np.column_stack([np.bincount(place, outcome[:, k]) / count for k in range(j)])
    mean = np.clip(mean, 0.0, None)
    mean = mean / mean.sum(axis=1, keepdims=True)
    rows = {
        "model": predicted,
        "shares": np.broadcast_to(usual, (n, j)),
        "chance": np.full((n, j), 1 / j),
        "ceiling": mean[place],
    }
    known = choice.any(axis=1)
    found = {}
    for name, p in rows.items():
        loss = -(outcome * np.log(np.maximum(p, _SMALL))).sum(axis=1)
        best = p.max(axis=1, keepdims=True)
        # Of alternatives that are equally likely each is the hit as often.
        tied = p >= best - _SMALL
        hit = (tied * choice).sum(axis=1) / tied.sum(axis=1)
        found[name] = {
            "hit_rate": float(hit[known].mean()) if known.any() else np.nan,
            "hit_rate_se": _se(hit[known], place[known]),
            "log_loss": float(loss.mean()),
            "log_loss_se": _se(loss, place),
        }
    names = list(pd.unique(task))
    shares = pd.DataFrame(
        [
            {
                "task": name,
                "alternative": a,
                "predicted": float(predicted[place == t, k].mean()),
                "observed": float(outcome[place == t, k].mean()),
            }
            for t, name in enumerate(names)
            for k, a in enumerate(ids)
        ]
    )
    notes = []
    if not known.all():
        notes.append(f"{int((~known).sum())} runs without a choice are in no hit rate")
    if len(names) < 10:
        notes.append(
            f"standard errors are by task, and {len(names)} tasks tell them roughly"
            if len(names) > 1
            else "one holdout task tells nothing of its own chance"
        )
    table = pd.DataFrame.from_dict(found, orient="index")
    return Holdouts(table, shares, len(names), n, named, tuple(notes))


def _se(values: Array, place: Array) -> float:
    """Standard error of a mean, clustered by task: G / (G - 1) times the sandwich."""
    groups = np.unique(place)
    if len(groups) < 2:
        return float("nan")
    away = np.bincount(place, values - values.mean())
    return float(np.sqrt(len(groups) / (len(groups) - 1) * (away**2).sum()) / len(values))
