"""Which models answered, and how often they thought to the end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llmdemand.core.panel import Panel
from llmdemand.core.shards.shards import AnyPanel, Tally, totalled
from llmdemand.scale.sums import Sums

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["snapshot_tallies", "snapshots", "thoughts"]


def thoughts(panel: AnyPanel) -> tuple[str, float]:
    """Which law belief is of where the model thinks first, and the share of thoughts cut."""
    kind = panel.study.thoughts
    if not kind or not len(panel):
        return kind, float("nan")
    found = totalled(_cut, panel)
    return kind, float(found["cut"] / found["runs"]) if found["runs"] else float("nan")


def _cut(panel: Panel) -> Sums:
    cut = panel.frame["thought_cut"].astype(float)
    return Sums(cut=float(cut.sum()), runs=int(cut.notna().sum()))


def snapshots(panel: AnyPanel) -> pd.DataFrame:
    """The models that say they have answered, those of most runs first.

    Providers change what is behind a name, in the midst of a run too: then a panel is of two
    models, and where cells are asked in turn the difference between them looks like one between
    prices. Counted are runs with a choice: a filtered prompt is answered by none.

    Returns
    -------
    pandas.DataFrame
        ``runs``, ``belief`` (mean in the focal alternative) and ``chosen`` (share of choices that
        fall on it), by ``snapshot``.

    Examples
    --------
    >>> from llmdemand import load_study, simulate
    >>> len(snapshots(simulate(load_study("pampers"), "synthetic", runs=1)))
    1
    """
    sums = totalled(_by_model, panel)["table"].sort_index()
    found: pd.DataFrame = (
        sums[["runs"]]
        .astype(int)
        .assign(
            belief=(sums["belief"] / sums["known"]).where(sums["known"] > 0),
            chosen=sums["chosen"] / sums["runs"],
        )
    )
    return found.rename_axis("snapshot").sort_values("runs", ascending=False, kind="stable")


def snapshot_tallies(panel: AnyPanel) -> tuple[Tally, ...]:
    """What `snapshots` and `thoughts` count in each part, for `tallied`."""
    return (_by_model, *((_cut,) if panel.study.thoughts else ()))


def _by_model(panel: Panel) -> Sums:
    chosen, focal = panel.frame[panel.frame["choice"].notna()], panel.study.watched
    belief = chosen[f"belief_{focal}"].astype(float)
    rows = chosen[[]].assign(
        model=chosen["model"].astype(object).fillna("").astype(str),
        runs=1,
        belief=belief,
        known=belief.notna().astype(int),
        chosen=(chosen["choice"] == focal).astype(float),
    )
    return Sums(table=rows.groupby("model").sum())
