"""Quotas: how many respondents of each kind are asked."""

from __future__ import annotations

import csv
import hashlib
import io
import math
from collections.abc import Mapping, Sequence
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from llmdemand.errors import StudyError, nearest

__all__ = ["drawn", "margins_of", "replicated"]

_MOST = 100_000  # respondents
_TOLERANCE = 1e-6  # of shares that sum to one

Persona = Mapping[str, str]
#: Number or share of respondents, by field and level.
Margins = Mapping[str, Mapping[str, float]]


def replicated(personas: Sequence[Persona], field: str) -> tuple[dict[str, str], ...]:
    """Each persona as many times as its field `field` says.

    Copies are respondents of their own, ``<id>-1``, ``<id>-2``, ...; a persona whose quota is 0
    is not asked.

    Raises
    ------
    StudyError
        For a missing field, or a quota that is no whole number from 0.

    Examples
    --------
    >>> found = replicated([{"id": "ann", "n": "2"}, {"id": "bob", "n": "1"}], "n")
    >>> [p["id"] for p in found]
    ['ann-1', 'ann-2', 'bob-1']
    """
    found: list[dict[str, str]] = []
    for persona in personas:
        if field not in persona or field == "id":
            raise StudyError(
                f"quota is the column {field!r}{nearest(field, list(persona))}, and there is none: "
                f"columns are {', '.join(persona)}"
            )
        text = persona[field].strip()
        if not text.isdecimal():
            raise StudyError(
                f"respondent {persona['id']!r} has the quota {persona[field]!r}: give a whole "
                "number, 0 or more"
            )
        count = int(text)
        if len(found) + count > _MOST:
            raise StudyError(f"quotas sum to more than {_MOST:,} respondents: give fewer")
        found += [{**persona, "id": f"{persona['id']}-{k}"} for k in range(1, count + 1)]
    if not found:
        raise StudyError(f"all quotas in the column {field!r} are 0: nobody is asked")
    ids = [p["id"] for p in found]
    if len(set(ids)) < len(ids):
        twice = next(i for i in ids if ids.count(i) > 1)
        raise StudyError(f"quotas make the id {twice!r} twice: rename a respondent")
    return tuple(found)


def margins_of(table: Any) -> dict[str, dict[str, float]]:
    """Margins from a CSV file with the columns ``field, level, share``, or from a mapping.

    Raises
    ------
    StudyError
        For another table, a level twice, or numbers that are negative.

    Examples
    --------
    >>> margins_of({"sex": {"f": 0.5, "m": 0.5}})
    {'sex': {'f': 0.5, 'm': 0.5}}
    """
    rows: list[tuple[str, str, Any]] = []
    if isinstance(table, Mapping):
        for field, levels in table.items():
            if not isinstance(levels, Mapping):
                raise StudyError(f"margins of {field!r} are {levels!r}: give a share by level")
            rows += [(str(field), str(level), value) for level, value in levels.items()]
    elif isinstance(table, str | Path | Traversable):
        path = Path(table) if isinstance(table, str) else table
        if not path.is_file():
            raise StudyError(f"{path}: no such file; give a table of margins")
        lines = csv.DictReader(io.StringIO(path.read_bytes().decode("utf-8-sig"), newline=""))
        if set(lines.fieldnames or ()) != {"field", "level", "share"}:
            raise StudyError(
                f"{path}: columns are {', '.join(lines.fieldnames or ['none'])}: margins have "
                "field, level and share"
            )
        rows = [(row["field"], row["level"], row["share"]) for row in lines]
    else:
        raise StudyError(f"margins are {type(table).__name__}: give a CSV file or a mapping")
    found: dict[str, dict[str, float]] = {}
    for field, level, value in rows:
        try:
            share = math.nan if isinstance(value, bool) else float(value)
        except (TypeError, ValueError):
            share = math.nan
        if not (share >= 0 and math.isfinite(share)):
            raise StudyError(f"margin of {field!r}, {level!r} is {value!r}: give 0 or more")
        if level in found.setdefault(field, {}):
            raise StudyError(f"margins name {level!r} of {field!r} twice: give one share")
        found[field][level] = share
    if not found:
        raise StudyError("margins name no field: give field, level and share in each row")
    return found


def drawn(
    personas: Sequence[Persona], margins: Margins, size: int, seed: int = 0
) -> tuple[dict[str, str], ...]:
    """A sample of `size` respondents that meets all margins at once.

    Parameters
    ----------
    personas : sequence of mapping
        Whom to draw from, each at most once.
    margins : mapping
        By field, the share of each level, sum 1; every level that is not named has none. Shares
        times `size` are rounded to whole numbers by largest remainders.
    size : int
        How many.
    seed : int
        Another seed draws others.

    Returns
    -------
    tuple of dict
        In the order of `personas`. Among all samples that meet the margins it is the one with the
        least sum of random numbers, one for each respondent (a 0/1 programme, solved exactly), so
        that it depends on nothing but the seed and the ids.

    Raises
    ------
    StudyError
        For unknown fields, shares that do not sum to one, and margins that nobody can meet, with
        what is lacking.

    Examples
    --------
    >>> people = [{"id": str(k), "sex": "fm"[k % 2], "age": "yo"[k // 5]} for k in range(10)]
    >>> found = drawn(people, {"sex": {"f": 0.5, "m": 0.5}, "age": {"y": 0.25, "o": 0.75}}, 4)
    >>> len(found), sum(p["sex"] == "f" for p in found), sum(p["age"] == "y" for p in found)
    (4, 2, 1)
    """
    import numpy as np
    from scipy.optimize import Bounds, LinearConstraint, milp

    if isinstance(size, bool) or not isinstance(size, int) or not 1 <= size <= len(personas):
        raise StudyError(
            f"size is {size}: give 1 to {len(personas)}, the respondents in the table (each is "
            "drawn at most once)"
        )
    rows, wanted = [np.ones(len(personas))], [size]
    for field, shares in margins.items():
        _check_margin(personas, field, shares)
        for level, count in _whole(shares, size).items():
            inside = np.array([float(p[field] == level) for p in personas])
            if inside.sum() < count:
                raise StudyError(
                    f"the margins want {count} respondents with {field} {level!r}, and the table "
                    f"has {int(inside.sum())}: give a smaller size, or more respondents"
                )
            rows.append(inside)
            wanted.append(count)
        # Levels without a share: nobody.
        others = np.array([float(p[field] not in shares) for p in personas])
        rows.append(others)
        wanted.append(0)
    cost = [_number(seed, p["id"]) for p in personas]
    found = milp(
        cost,
        integrality=np.ones(len(personas), np.int64),
        bounds=Bounds(0, 1),
        constraints=LinearConstraint(np.stack(rows), wanted, wanted),
        options={"mip_rel_gap": 0.0},
    )
    if found.x is None:
        raise StudyError(
            f"no {size} respondents of the table meet the margins of {', '.join(margins)} at once "
            "(each alone can be met): give a smaller size, other margins or more respondents"
        )
    return tuple(dict(p) for p, x in zip(personas, found.x, strict=True) if x > 0.5)


def _check_margin(personas: Sequence[Persona], field: str, shares: Mapping[str, float]) -> None:
    if field not in personas[0] or field == "id":
        raise StudyError(
            f"margins are of {field!r}{nearest(field, list(personas[0]))}, and respondents have "
            f"{', '.join(k for k in personas[0] if k != 'id')}"
        )
    total = math.fsum(shares.values())
    if abs(total - 1) > _TOLERANCE:
        raise StudyError(
            f"the shares of {field!r} sum to {total:g}: give shares of all levels, with sum 1"
        )


def _whole(shares: Mapping[str, float], size: int) -> dict[str, int]:
    """Shares of `size` as whole numbers with that sum: floors, then the largest remainders."""
    # Shares are decimal fractions: 0.29 of 100 is 29.
    exact = {level: round(share * size, 9) for level, share in shares.items()}
    found = {level: math.floor(value) for level, value in exact.items()}
    rest = size - sum(found.values())
    order = sorted(exact, key=lambda level: found[level] - exact[level])
    return {level: n + (level in order[:rest]) for level, n in found.items()}


def _number(seed: int, id: str) -> float:
    """Between 0 and 1, the same for ever."""
    digest = hashlib.sha256(f"{seed}/quota/{id}".encode()).digest()
    return int.from_bytes(digest[:6], "big") / 2**48
