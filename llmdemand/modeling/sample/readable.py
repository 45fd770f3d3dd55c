"""The columns that a formula reads, checked for what formulas cannot take."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from llmdemand.errors import DesignError, nearest
from llmdemand.modeling.sample.columns import is_text, number, plain
from llmdemand.modeling.sample.language import Reading

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["readable"]

_LEVELS = 100  # of text that stands in a formula as it is
_MONEY = re.compile(
    r"[-+]?\s*(?:[$€£¥]|[A-Z]{3}\s)?\s*[-+]?(?:\d[\d.,' ]*|[.,]\d+)(?:[eE][-+]?\d+)?"
    r"\s*(?:[$€£¥%]|[A-Z]{3})?"
)
_MOSTLY = 0.9  # of the levels of text that is numbers


def readable(
    reading: Reading, frame: pd.DataFrame, text: str, fresh: bool
) -> tuple[pd.DataFrame, dict[str, str]]:
    """The columns that a formula reads, as it takes them, and the kinds of whole numbers."""
    import pandas as pd

    known = [str(c) for c in frame.columns]
    for name in reading.names:
        if name not in known:
            raise DesignError(
                f"{text!r} reads a column {name!r}, which the data do not have"
                f"{nearest(name, known)}: give it"
            )
    given = plain(frame[list(reading.names)])
    columns = {}
    for name in reading.names:
        values = columns[name] = number(given[name], name)
        if not len(values) or values.dtype.kind in "fiub":
            continue
        text_ = is_text(values)
        if name in reading.computed:
            todo = f"pd.to_numeric(data[{name!r}])" if text_ else f"data[{name!r}].astype(float)"
            raise DesignError(
                f"formula {text!r} computes with {name!r}, which is {'text' if text_ else 'a'}"
                f"{'' if text_ else ' category'}: make it numbers ({todo}), or write C({name})"
            )
        if fresh and text_ and name in reading.bare:
            _check_levels(name, values.unique().tolist())
    kinds: dict[str, str] = {
        c: given[c].dtype.kind for c in columns if given[c].dtype.kind in "iub"
    }
    return pd.DataFrame(columns, index=frame.index), kinds


def _check_levels(name: str, levels: list[str]) -> None:
    """Refuse text that is likely no category: every level would have a coefficient."""
    as_numbers = sum(bool(_MONEY.fullmatch(level.strip())) for level in levels)
    if as_numbers >= _MOSTLY * len(levels):
        found, why = repr(levels[0]), ""
    elif len(levels) > _LEVELS:
        found, why = f"{len(levels)} levels", f" (more than {_LEVELS} levels are asked for)"
    else:
        return
    raise DesignError(
        f"{name} is text ({found}): make it numbers (pd.to_numeric, currency signs left out), or "
        f"write C({name}) for a coefficient of each of its {len(levels)} levels{why}"
    )
