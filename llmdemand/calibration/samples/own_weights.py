"""Sampling weights that a panel's study brings along, for the pool and for the humans it asked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from llmdemand.calibration.samples.entries import respondent_ids
from llmdemand.core.shards.shards import AnyPanel
from llmdemand.core.study import Study
from llmdemand.errors import UsageError
from llmdemand.modeling.arrays import Array

__all__ = ["own_weights"]


def own_weights(
    weights: str | None, humans: Any, beliefs: Any, cluster: str, says: list[str]
) -> tuple[str | None, Any]:
    """The column of weights, and humans who have it.

    Parameters
    ----------
    weights : str or None
        What was asked for: None takes those of the beliefs' study, ``""`` leaves them aside.
    humans : pandas.DataFrame
        The humans; without such a column each is given the weight of their persona.
    beliefs : Panel, PanelShards, pandas.DataFrame or mapping of them
        Of several panels the studies have to name one field.
    cluster : str
        Column of respondents.
    says : list of str
        What has to be said is added here.

    Returns
    -------
    (str or None, pandas.DataFrame)

    Raises
    ------
    UsageError
        For studies of several models with weights of different names.
    """
    import pandas as pd

    several = beliefs.values() if isinstance(beliefs, Mapping) else [beliefs]
    studies = [b.study for b in several if isinstance(b, AnyPanel)]
    names = {s.weights for s in studies if s.weights}
    if len(names) > 1:
        raise UsageError(
            f"the models' studies have the sampling weights {', '.join(sorted(names))}: give them "
            "one name, or leave them aside with weights=''"
        )
    if weights == "" or not names:
        if names:
            says.append(f"the study's sampling weights {min(names)!r} are left aside, as asked")
        return weights or None, humans
    own = min(names)
    if weights not in (None, own):
        says.append(f"the pool is weighted by the study's {own!r}, the humans by {weights!r}")
        return weights, humans
    if not isinstance(humans, pd.DataFrame) or cluster not in humans.columns or not len(humans):
        return own, humans  # what is wrong is said where humans are read
    told = _of_personas(next(s for s in studies if s.weights), humans[cluster], own)
    if own not in humans.columns:
        says.append(f"weights are the study's own {own!r}, of humans those of their personas")
        return own, humans.assign(**{own: told})
    says.append(f"weights are the study's own {own!r}, of humans their column of that name")
    if humans[own].dtype.kind in "fiub":
        ratio = humans[own].to_numpy(np.float64) / told
        known = ratio[np.isfinite(ratio)]
        if known.size and not np.allclose(known, known[0], rtol=1e-6):
            says.append(
                f"the humans' {own!r} are not in proportion to those of their personas: they "
                "are taken as the humans' table has them"
            )
    return own, humans


def _of_personas(study: Study, ids: Any, name: str) -> Array:
    """Weight of each row's persona; missing for those who are none."""
    import pandas as pd

    known = pd.Series([str(p["id"]) for p in study.personas], dtype=object)
    rows, personas = respondent_ids(ids, known)
    weight = dict(zip(personas.tolist(), [float(p[name]) for p in study.personas], strict=True))
    return np.array([weight.get(i, np.nan) for i in rows.tolist()])
