"""Respondents: tables of people as whom the model answers, one row each."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmdemand.core.people.agents import ID, agents_table, is_agents
from llmdemand.core.people.quotas import drawn, margins_of, replicated
from llmdemand.core.questionnaire.fields import decimal, only_known, typed
from llmdemand.errors import StudyError, nearest

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["ID", "named_table", "prices_of", "read_respondents", "reserved"]

#: As which column rows are numbered where the table has none of that name.
ROW = "row"

# As spreadsheets, pandas, R and Stata write a missing value.
_MISSING = frozenset(["", ".", "NA", "NaN", "nan"])
# As pandas writes whole numbers of a column that has gaps.
_WHOLE = re.compile(r"(-?[0-9]+)\.0\Z")
# Columns of panels and of the frames that models are fitted to: a covariate of the same name
# would be lost there.
_PANEL = frozenset(
    "id respondent_id persona_id run_id cell replicate order variant arm status choice chosen "
    "belief price alternative case thoughts decided_mass undecided_mass tail_mass pivot_index "
    "pivot_token final_choice final_status mismatch label label_probability text model backend "
    "temperature prompt_tokens completion_tokens".split()
)


def read_respondents(
    table: str | Path | Traversable | pd.DataFrame | Mapping[str, Any] | list[Any],
    id: str = ID,
    *,
    quota: str | None = None,
    margins: Any = None,
    size: int | None = None,
    seed: int = 0,
) -> tuple[dict[str, str], ...]:
    """The rows of a table of respondents as personas.

    Parameters
    ----------
    table : path or DataFrame
        A CSV file (commas, UTF-8), a parquet file or a data frame: one row per respondent,
        one column per field. Or agents of EDSL: an AgentList, its dictionary or JSON file; see
        `agents.agents_table`.
    id : str
        The column that identifies them. ``row`` numbers the rows of a table that has no such
        column, as ``AgentList.to_csv`` writes it.
    quota : str, optional
        Column that says how many respondents of each kind are asked: see `quotas.replicated`.
    margins, size, seed : optional
        Draw `size` of the respondents such that margins are met: a mapping, or a CSV file with
        the columns ``field, level, share``: see `quotas.drawn`.

    Returns
    -------
    tuple of dict
        One persona per row: the id as ``id``, then every other column. Values are texts as a
        person would write them: whole numbers without ``.0``, other numbers in their shortest
        form, texts as they are. A missing value is an empty text.

    Raises
    ------
    StudyError
        For a table that cannot be read or is empty, and for a missing or repeated id; rows
        are counted from 1, the header left out.

    Examples
    --------
    >>> import pandas as pd
    >>> read_respondents(pd.DataFrame({"respondent_id": [7, 8], "income": [35.0, 42.5]}))
    ({'id': '7', 'income': '35'}, {'id': '8', 'income': '42.5'})
    """
    if not isinstance(id, str) or not id:
        raise StudyError(f"the id column is {id!r}: give its name")
    where, names, rows = _table(table, id)
    if id == ROW and ROW not in names:
        rows = ([str(k), *row] for k, row in enumerate(rows, 1))
        names = [ROW, *names]
    for name in names:
        if not name.strip() or names.count(name) > 1:
            what = "has no name" if not name.strip() else f"{name!r} is there twice"
            raise StudyError(f"{where}: a column {what}: give every column a name of its own")
    if id not in names:
        hint = nearest(id, names)
        if len(names) == 1 and re.search("[;\t]", names[0]):
            hint = " (it is not separated by commas)"
        raise StudyError(
            f"{where}: no column {id!r}{hint}: columns are {', '.join(names)}; name the one that "
            "identifies respondents"
        )
    if "id" in names and id != "id":
        raise StudyError(
            f"{where}: there is a column 'id' besides {id!r}: rename it, or name it as the one "
            "that identifies respondents"
        )
    others = [name for name in names if name != id]
    found: list[dict[str, str]] = []
    seen: dict[str, int] = {}
    for number, row in enumerate(rows, 1):
        person = dict(zip(names, row, strict=True))
        own = person[id].strip()
        if not own:
            raise StudyError(f"{where}: row {number} has no {id!r}: give every respondent one")
        if own in seen:
            raise StudyError(
                f"{where}: {id!r} {own!r} is in row {seen[own]} and in row {number}: one row per "
                "respondent; prices and other factors belong to the study"
            )
        seen[own] = number
        found.append({"id": own, **{name: person[name] for name in others}})
    if not found:
        raise StudyError(f"{where}: the table has no rows: give one row per respondent")
    people: tuple[dict[str, str], ...] = tuple(found)
    if margins is not None or size is not None:
        if margins is None or size is None or quota is not None:
            raise StudyError(
                "margins and size are given together, and without a quota column: margins say the "
                "shares, size how many respondents are drawn"
            )
        return drawn(people, margins_of(margins), size, seed)
    return people if quota is None else replicated(people, quota)


def named_table(
    entry: Any, folder: Path | Traversable, *, allow_outside: bool = False
) -> tuple[dict[str, str], ...]:
    """Respondents of a study file: ``"people.csv"`` or ``{file = "people.csv", id = ...}``.

    Whoever runs a study of somebody else sends the tables that it names to a model: one that
    lies outside of the study's folder is read only with `allow_outside`.
    """
    if isinstance(entry, str):
        entry = {"file": entry}
    only_known(entry, ["file", "id", "quota", "margins", "size", "seed"], "field of personas")
    if "file" not in entry:
        raise StudyError('personas names no table: write personas = { file = "people.csv" }')
    file = typed(entry["file"], str, "personas.file")
    id = typed(entry.get("id", ID), str, "personas.id")
    kinds = {"quota": str, "size": int, "seed": int}
    options = {k: typed(entry[k], kinds[k], f"personas.{k}") for k in kinds.keys() & entry}
    margins = entry.get("margins")
    if isinstance(margins, str):
        margins = _beside(margins, folder, "personas.margins", allow_outside=allow_outside)
    table = _beside(file, folder, "personas.file", allow_outside=allow_outside)
    return read_respondents(table, id, margins=margins, **options)


def _beside(
    file: str, folder: Path | Traversable, what: str, *, allow_outside: bool
) -> Path | Traversable:
    """A file that a study names; see `named_table` for those outside of its folder."""
    outside = Path(file).is_absolute() or ".." in Path(file).parts
    if isinstance(folder, Path):
        outside = not (folder / file).resolve().is_relative_to(folder.resolve())
    if outside and not allow_outside:
        raise StudyError(
            f"{what} is {file!r}, which lies outside of the study's folder {folder}: put "
            "the table beside the study, or allow it with --allow-outside (allow_outside=True)"
        )
    # A Traversable joins no absolute path.
    return Path(file) if Path(file).is_absolute() else folder.joinpath(file)


def prices_of(
    personas: Sequence[Mapping[str, str]], field: str, alternative: str
) -> tuple[float, ...]:
    """The price of an alternative for each persona, from one of its fields.

    Raises
    ------
    StudyError
        If there are no personas, they lack the field, or a value is no finite number.

    Examples
    --------
    >>> prices_of([{"id": "ann", "cost_air": "59"}], "cost_air", "air")
    (59.0,)
    """
    if not personas:
        raise StudyError(
            f"the price of {alternative!r} comes from the field {field!r} of personas, but the "
            "study has none: give a table of respondents"
        )
    found = []
    for persona in personas:
        if field not in persona or field == "id":
            raise StudyError(
                f"the price of {alternative!r} comes from the field {field!r}"
                f"{nearest(field, list(persona))}, which persona {persona.get('id')!r} does not "
                "have: add it"
            )
        try:
            price = float(persona[field])
        except (ValueError, TypeError):
            price = math.nan
        if not math.isfinite(price):
            raise StudyError(
                f"the price of {alternative!r} for {persona.get('id')!r} is {persona[field]!r} "
                f"(field {field!r}): give a number in every row"
            )
        found.append(decimal(price))
    return tuple(found)


def reserved(alternatives: Iterable[str]) -> set[str]:
    """Names that no column of respondents may have, because a panel has such a column."""
    kinds = ("belief", "lo", "hi", "between")
    return set(_PANEL) | {f"{kind}_{a}" for kind in kinds for a in alternatives}


def _table(table: Any, id: str) -> tuple[str, list[str], Iterator[list[str]]]:
    """What it is called in messages, its columns, and its rows as texts."""
    if hasattr(table, "columns") and hasattr(table, "iloc"):
        return "the table of respondents", [str(c) for c in table.columns], _cells(table)
    if is_agents(table):
        return agents_table(table, id)
    if isinstance(table, str):
        table = Path(table)
    if not isinstance(table, Path | Traversable):
        raise StudyError(
            f"a table of respondents is a path or a data frame, found {type(table).__name__}"
        )
    suffix = Path(table.name).suffix.lower()
    if suffix not in (".csv", ".parquet", ".json"):
        raise StudyError(
            f"{table}: a table of respondents is a .csv or a .parquet file, or a .json file of "
            "EDSL agents"
        )
    if not table.is_file():
        raise StudyError(f"{table}: no such file; give the path of a table of respondents")
    if suffix == ".json":
        return agents_table(table, id)
    names, rows = (_csv if suffix == ".csv" else _parquet)(table)
    return str(table), names, rows


def _csv(path: Path | Traversable) -> tuple[list[str], Iterator[list[str]]]:
    try:
        # Spreadsheets begin their files with a byte order mark.
        text = path.read_bytes().decode("utf-8-sig")
        lines = [row for row in csv.reader(io.StringIO(text, newline=""), strict=True) if row]
    except UnicodeDecodeError:
        raise StudyError(f"{path}: is not UTF-8 text; save it as CSV (UTF-8)") from None
    except csv.Error as error:
        raise StudyError(f"{path}: is not CSV that can be read ({error})") from None
    if not lines:
        raise StudyError(f"{path}: the file is empty: give a header and one row per respondent")
    names, *rows = lines
    for number, row in enumerate(rows, 1):
        if len(row) != len(names):
            raise StudyError(
                f"{path}: row {number} has {len(row)} values, the header {len(names)}: quote "
                "values that hold commas"
            )
    return names, ([_plain(value) for value in row] for row in rows)


def _plain(value: str) -> str:
    """A value of a CSV file: gaps are empty, whole numbers have no ``.0``."""
    return "" if value.strip() in _MISSING else _WHOLE.sub(r"\1", value)


def _parquet(path: Path | Traversable) -> tuple[list[str], Iterator[list[str]]]:
    import pandas as pd
    import pyarrow as pa

    try:
        frame = pd.read_parquet(io.BytesIO(path.read_bytes()))
    except (pa.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0]
        raise StudyError(f"{path}: is not a parquet file that can be read ({reason})") from None
    return [str(c) for c in frame.columns], _cells(frame)


def _cells(frame: pd.DataFrame) -> Iterator[list[str]]:
    # By column: rows would turn single precision into double.
    texts = [[_text(v) for v in frame.iloc[:, k].array] for k in range(frame.shape[1])]
    return (list(row) for row in zip(*texts, strict=True))


def _text(value: Any) -> str:
    """A value of a data frame as a person would write it."""
    import numpy as np
    import pandas as pd

    if isinstance(value, str):
        return value if value.strip() else ""
    if pd.api.types.is_scalar(value) and pd.isna(value):
        return ""
    if isinstance(value, float | np.floating):
        # The shortest digits of the value's own precision: 0.1 also in single precision.
        return np.format_float_positional(value, trim="-")
    return str(value)
