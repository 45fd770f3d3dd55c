"""What levels of attributes are worth to a consumer whose demand is known."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llmdemand.core.experiment.coding import CONSTANTS
from llmdemand.core.experiment.space import PRICE
from llmdemand.core.study import Study
from llmdemand.errors import UsageError, nearest

__all__ = ["believed", "by_level"]


def by_level(study: Study, given: Mapping[str, Any]) -> dict[str, dict[float | str, float]]:
    """Utilities by attribute and level, of the study's own levels.

    Parameters
    ----------
    study : Study
        Whose attributes they are.
    given : mapping
        By attribute: a table by level (250 is the level 250.0), or for an attribute of numbers
        the utility of a unit.

    Raises
    ------
    UsageError
        For attributes and levels that there are not.

    Examples
    --------
    >>> from dataclasses import replace
    >>> from llmdemand import load_study
    >>> from llmdemand.core.experiment.attributes import Attribute
    >>> study = load_study("pampers")
    >>> study = replace(study, attributes=(Attribute("count", (20, 40)),),
    ...     offer="{label} {price} {count}", prices={"pampers": (30.0,), "huggies": (30.0,)})
    >>> by_level(study, {"count": 0.1})
    {'count': {20.0: 2.0, 40.0: 4.0}}
    """
    known = {x.name: x for x in study.attributes}
    found: dict[str, dict[float | str, float]] = {}
    for name, worths in given.items():
        if name not in known:
            raise UsageError(
                f"part_worths: no attribute {name!r}{nearest(str(name), list(known))}: the study "
                f"has {', '.join(known) or 'none'}"
            )
        levels = known[name].levels
        if not isinstance(worths, Mapping):
            if not known[name].numeric:
                raise UsageError(
                    f"part_worths of {name!r} is {worths!r}: give utilities by level, as "
                    f"{{{levels[-1]!r}: 0.5}}"
                )
            found[name] = {v: worths * float(v) for v in levels}
            continue
        texts = {f"{v:g}" if isinstance(v, float) else v: v for v in levels}
        for level in worths:
            text = f"{level:g}" if isinstance(level, int | float) else str(level)
            if text not in texts:
                raise UsageError(
                    f"part_worths of {name!r}: no level {level!r}{nearest(text, list(texts))}: "
                    f"levels are {', '.join(texts)}"
                )
            found.setdefault(name, {})[texts[text]] = worths[level]
    return found


def believed(study: Study) -> dict[str, Any]:
    """Options of a consumer as the prior of a conjoint study has it: what a rehearsal assumes.

    ``slope``, ``constants`` and ``part_worths``, those that the prior names; of what it holds
    for uncertain the mean.
    """
    prior = {} if study.conjoint is None else study.conjoint.prior
    found: dict[str, Any] = {}
    if PRICE in prior:
        found["slope"] = _mean(prior[PRICE])
    if prior:
        named = prior.get(CONSTANTS, {})
        ids = [a.id for a in study.menu if not a.outside or a.id in named]
        found["constants"] = {a: _mean(named.get(a, 0.0)) for a in ids}
    worths = {k: v for k, v in prior.items() if k not in (PRICE, CONSTANTS)}
    if worths:
        found["part_worths"] = {
            name: {level: _mean(u) for level, u in table.items()}
            if isinstance(table, Mapping)
            else _mean(table)
            for name, table in worths.items()
        }
    return found


def _mean(value: Any) -> float:
    return float(value[0] if isinstance(value, list | tuple) else value)
