"""Final choices, whoever read them, entered into a panel."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from llmdemand.belief.final.reading import Reader, Setting
from llmdemand.core.panel import Panel

__all__ = ["entered", "read_again", "setting_of"]


def entered(panel: Panel, choices: Mapping[str, str | None], reader: str, **about: Any) -> Panel:
    """A panel with other final choices.

    Parameters
    ----------
    panel : Panel
        Any panel; answers that were stopped at their pivot stay without a final choice.
    choices : mapping of str to str or None
        Final choice by run id, None where it is unread; whole answers that are not named
        become unread.
    reader : str
        Who read them; kept as ``provenance["final_reader"]``.
    **about
        Further facts for the provenance.

    Returns
    -------
    Panel
        With ``final_choice``, ``final_status`` and ``mismatch`` anew.

    Examples
    --------
    >>> from llmdemand import load_study, simulate
    >>> panel = simulate(load_study("pampers"), "synthetic", runs=1, seed=1)
    >>> found = entered(panel, {"0-0": "neither"}, "label").frame
    >>> found["final_choice"].iloc[0], found["final_status"].value_counts().to_dict()
    ('neither', {'unread': 15, 'read': 1})
    """
    import pandas as pd

    frame = panel.frame
    whole = frame["final_status"] != "stopped"
    named = [choices.get(run) if w else None for run, w in zip(frame["run_id"], whole, strict=True)]
    final = pd.Series(named, frame.index, dtype=object)
    status = frame["final_status"].where(~whole, final.notna().map({True: "read", False: "unread"}))
    known = final.notna() & frame["choice"].notna()
    mismatch = (final != frame["choice"]).astype("boolean").where(known)
    changed = frame.assign(final_choice=final, final_status=status, mismatch=mismatch)
    provenance = {**panel.provenance, "final_reader": reader, **about}
    return replace(panel, frame=changed, provenance=provenance)


def read_again(panel: Panel, reader: Reader) -> Panel:
    """A panel whose whole answers are read once more, by another reader or other rules.

    >>> from llmdemand import load_study, simulate
    >>> from llmdemand.belief.final.rules import Rules
    >>> panel = simulate(load_study("pampers"), "synthetic", runs=1, seed=1)
    >>> again = read_again(panel, Rules())
    >>> list(again.frame["final_choice"]) == list(panel.frame["final_choice"])
    True
    """
    choices = {
        str(row["run_id"]): reader.read(
            str(row["text"] or ""), panel.study.menu, setting_of(panel, row)
        ).choice
        for row in panel.frame.to_dict("records")
        if row["final_status"] != "stopped"
    }
    return entered(panel, choices, reader.name)


def setting_of(panel: Panel, row: Mapping[Any, Any]) -> Setting:
    """What a reader may know of a panel's row; that it was cut is not kept in panels."""
    study = panel.study
    return Setting(
        str(row["run_id"]),
        tuple(str(row["order"]).split(">")),
        {a: float(row[f"price_{a}"]) for a in study.prices},
        study.anchors,
        study.answer_first,
    )
