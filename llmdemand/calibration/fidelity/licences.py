"""Heuristic patterns against statistical calibration: which was done, and what it licenses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from llmdemand.errors import UsageError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["ROWS", "licences"]

_HEURISTIC, _SUBSTITUTION, _CALIBRATION = "heuristic", "substitution", "calibration"
_EXPLORE = "exploratory only"

#: What may be done, by name: its kind, what it asks, and what it licenses.
ROWS: dict[str, tuple[str, str, str]] = {
    "means": (_HEURISTIC, "are shares and price effects alike?", _EXPLORE),
    "variance": (_HEURISTIC, "is an answer as uncertain?", _EXPLORE),
    "distribution": (_HEURISTIC, "do as many say yes to none, some, all prices?", _EXPLORE),
    "heterogeneity": (_HEURISTIC, "do personas differ as much as people?", _EXPLORE),
    "subgroups": (_HEURISTIC, "is it off alike in every group?", _EXPLORE),
    "individuals": (
        _HEURISTIC,
        "does it know the person?",
        f"{_EXPLORE}; says whether calibration will save humans",
    ),
    "held_out": (
        _HEURISTIC,
        "do prices or products that were left out follow?",
        f"{_EXPLORE}; of prices and products like those",
    ),
    "multiverse": (
        _HEURISTIC,
        "does the answer hang on prompt, model or temperature?",
        f"{_EXPLORE}; agreement among specifications is not agreement with people",
    ),
    "substitution": (
        _SUBSTITUTION,
        "are LLM answers reported in place of people's?",
        "nothing that these data show: valid only if the LLM has not seen the answers and keeps "
        "the moment conditions of the estimate",
    ),
    "calibration": (
        _CALIBRATION,
        "are human answers combined with the LLM's? (calibrate, recalibrated, debias)",
        "valid estimates under: humans a random sample of those the study is about; both sides of "
        "one population and asked alike; no answer seen by the LLM or used to choose the prompt",
    ),
    "transport": (
        _CALIBRATION,
        "is the estimate carried to prices or products without humans?",
        "valid only if the LLM's error there is as near to that here as the stated bound",
    ),
}


def licences(done: Mapping[str, str], why: Mapping[str, str] | None = None) -> pd.DataFrame:
    """The table after Hullman, Broska, Sun & Shaw (2026): ``kind, asks, done, found, licenses``.

    Parameters
    ----------
    done : mapping of str to str
        What was found, by the names of `ROWS`; what is missing was not done.
    why : mapping of str to str, optional
        Why something could not be done.

    Raises
    ------
    UsageError
        For an unknown name.

    Examples
    --------
    >>> table = licences({"means": "off by at most 0.1"})
    >>> table.loc["means", "done"], table.loc["calibration", "done"]
    ('yes', 'no')
    """
    import pandas as pd

    if strange := sorted({*done, *(why or {})} - set(ROWS)):
        raise UsageError(f"{', '.join(strange)}: what may be done is named {', '.join(ROWS)}")
    reasons = {name: f"not compared: {said}" for name, said in (why or {}).items()}
    rows = {
        name: {
            "kind": kind,
            "asks": asks,
            "done": "yes" if name in done else "no",
            "found": done.get(name, reasons.get(name, "-")),
            "licenses": what if name in done else f"if done: {what}",
        }
        for name, (kind, asks, what) in ROWS.items()
    }
    return pd.DataFrame(rows).T.rename_axis("what")
