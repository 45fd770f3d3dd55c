"""The one reader of columns: tables of any origin and type, as plain columns of pandas.

Numbers come as numpy's, text as pandas' own or as objects, categories with labels that are
plain; decimals are floats. Dates stay dates: they can name clusters, not enter a formula.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np

from llmdemand.core.tables.pieces import Frames, Piece, Pieces, opened, sharded, stacked
from llmdemand.errors import DesignError, UsageError

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "Data",
    "Frames",
    "chunks",
    "column_names",
    "is_text",
    "number",
    "opened",
    "plain",
    "rows_of",
    "sharded",
    "stacked",
    "table",
]

#: A pandas, polars or pyarrow table; the path of a parquet file, of a folder of them, or a list
#: of files; or what `Sharded` describes.
Data = Any

_CHUNK = 1 << 20  # rows at a time
_EXACT = 1 << 53  # whole numbers below it are exact as floats
_TABLES = "give a table of pandas, polars or pyarrow, or the path of a parquet file"


def column_names(data: Data) -> list[str]:
    """The columns of a table or of a parquet file.

    Raises
    ------
    UsageError
        For anything else, or a file that cannot be read.
    DesignError
        For a column that is there twice.
    """
    import pandas as pd

    if isinstance(data, pd.DataFrame):
        return _checked([str(c) for c in data.columns])
    data = opened(data)
    if sharded(data) and not isinstance(data, pd.DataFrame):
        return _checked([str(c) for c in data.columns])
    if type(data).__name__ == "Table" and type(data).__module__.startswith("pyarrow"):
        return _checked([str(n) for n in data.column_names])
    return list(_narwhals(data).columns)


def _checked(names: list[str]) -> list[str]:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise DesignError(
                f"column {name!r} is in the data twice: rename one of them (a number and its "
                "digits as text are one name)"
            )
        seen.add(name)
    return names


def chunks(data: Data, columns: Sequence[str]) -> Iterator[pd.DataFrame]:
    """The columns in slices of a million rows, as `plain` gives them."""
    import pandas as pd

    data = opened(data)
    if isinstance(data, Pieces):
        data.require(columns)
    if isinstance(data, Piece):
        for batch in data.batches(columns):
            yield pd.DataFrame(
                {c: _arrow(batch.column(batch.schema.get_field_index(c)), c) for c in columns},
                index=range(batch.num_rows),
            )
        return
    if isinstance(data, Frames):
        yield from data.frames(columns)
        return
    if sharded(data) and not isinstance(data, pd.DataFrame):
        for shard in data.shards:
            yield from chunks(shard, columns)
        return
    if not isinstance(data, pd.DataFrame):
        frame = _other(data, columns)
        for start in range(0, len(frame), _CHUNK):
            yield frame.iloc[start : start + _CHUNK]
        return
    known = _named(data)
    for start in range(0, len(data), _CHUNK):
        yield plain(known.iloc[start : start + _CHUNK][list(columns)])


def table(data: Data, columns: Sequence[str] | None = None) -> pd.DataFrame:
    """A whole table, or some columns of it, as a data frame of plain columns."""
    import pandas as pd

    if isinstance(data, pd.DataFrame):
        named = rows_of(data)
        return plain(named if columns is None else named[list(columns)])
    data = opened(data)
    wanted = column_names(data) if columns is None else list(columns)
    if sharded(data):
        parts = [part for part in chunks(data, wanted) if len(part)]
        nothing = pd.DataFrame({c: np.zeros(0) for c in wanted})
        return stacked(parts) if parts else nothing
    return _other(data, wanted)


def rows_of(data: Data) -> pd.DataFrame:
    """A table as a data frame whose columns are read only where something asks for them."""
    import pandas as pd

    if isinstance(data, pd.DataFrame):
        _checked([str(c) for c in data.columns])
        return _named(data)
    return table(data)


def _named(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with names of columns that are text: 2020 is named `2020` in a formula."""
    if all(isinstance(c, str) for c in frame.columns):
        return frame
    return frame.set_axis([str(c) for c in frame.columns], axis=1)


def plain(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows with every column of a type that all that follows can take.

    Raises
    ------
    DesignError
        For columns of lists, structs, bytes, complex numbers and of mixed kinds.
    """
    changed = {}
    for column in frame.columns:
        values = frame[column]
        if (found := _pandas(values, str(column))) is not values:
            changed[column] = found
    return frame.assign(**changed) if changed else frame


def is_text(values: pd.Series[Any]) -> bool:
    """Whether a plain column holds text."""
    return str(values.dtype) in ("str", "string", "object") and not _dates(values)


def _dates(values: pd.Series[Any]) -> bool:
    import pandas as pd

    return values.dtype == object and pd.api.types.infer_dtype(values, skipna=True) not in (
        "string",
        "empty",
    )


def number(values: pd.Series[Any], name: str) -> pd.Series[Any]:
    """A plain column as a formula takes it: numbers as float64, text and categories as they are.

    Raises
    ------
    DesignError
        For dates, durations and the like, missing values, and whole numbers so large that a
        float would change them.
    """
    import pandas as pd

    missing = int(values.isna().sum())
    if missing:
        raise DesignError(
            f"column {name!r} is missing in {missing} of {len(values)} rows: mend them or leave "
            "them out"
        )
    kind = values.dtype.kind
    if kind in "iu" and len(values) and max(-int(values.min()), int(values.max())) > _EXACT:
        raise DesignError(
            f"column {name!r} holds whole numbers beyond 2^53, which no float holds exactly: are "
            "they names? Make them text, or divide them"
        )
    if kind in "fiub":
        return values if values.dtype == np.float64 else values.astype(np.float64)
    if isinstance(values.dtype, pd.CategoricalDtype) or is_text(values):
        return values
    raise DesignError(
        f"column {name!r} holds {_kind(values)}, which a formula cannot take: make it a number "
        "(such as the days since a date) or a category (astype(str))"
    )


def _kind(values: pd.Series[Any]) -> str:
    kind = {"M": "dates", "m": "durations"}.get(values.dtype.kind)
    return f"{kind} ({values.dtype})" if kind else str(values.dtype)


def _refuse(name: str, what: str) -> DesignError:
    return DesignError(
        f"column {name!r} holds {what}: make it numbers, text or a category, or leave it out"
    )


def _pandas(values: pd.Series[Any], name: str) -> pd.Series[Any]:
    """A column of pandas as a plain one; the same object where nothing is to be done."""
    import pandas as pd

    dtype = values.dtype
    if isinstance(dtype, np.dtype):
        if dtype.kind == "O":
            return _objects(values, name)
        if dtype.kind not in "fiubMm":
            raise _refuse(name, f"{dtype} numbers")
        return values.astype(np.float64) if dtype.kind == "f" and dtype.itemsize != 8 else values
    if isinstance(dtype, pd.CategoricalDtype):
        return _category(values, name)
    if isinstance(dtype, pd.ArrowDtype):
        import pyarrow as pa

        return _arrow(pa.chunked_array(values.array.__arrow_array__()), name, values.index)
    if isinstance(dtype, pd.SparseDtype):
        return _pandas(values.astype(dtype.subtype), name)
    if isinstance(dtype, pd.StringDtype):
        return values if str(dtype) == "str" else values.astype(object)
    if hasattr(dtype, "numpy_dtype") and dtype.kind in "fiub":
        if dtype.kind == "f":
            return pd.Series(values.to_numpy(np.float64, na_value=np.nan), values.index, name=name)
        return values if values.isna().any() else values.astype(dtype.numpy_dtype)
    return values  # dates with a zone, periods, intervals: labels, no regressors


def _category(values: pd.Series[Any], name: str) -> pd.Series[Any]:
    import pandas as pd

    labels = values.cat.categories
    if labels.dtype == object and pd.api.types.infer_dtype(labels) in ("string", "empty"):
        return values
    if isinstance(labels.dtype, np.dtype) and labels.dtype.kind in "fiub":
        return values
    if labels.dtype == "str":
        return values
    named = [str(v) for v in labels]
    if len(set(named)) < len(named):
        raise _refuse(name, "a category with labels that differ but are written the same")
    return values.cat.rename_categories(named)


def _objects(values: pd.Series[Any], name: str) -> pd.Series[Any]:
    """Objects that are numbers, as numbers."""
    import pandas as pd

    kind = pd.api.types.infer_dtype(values, skipna=True)
    if kind in ("string", "empty"):
        return values
    if kind == "boolean" and not values.isna().any():
        return values.astype(bool)
    if kind == "integer" and not values.isna().any():
        try:
            return pd.Series(np.array(values.tolist(), np.int64), values.index, name=name)
        except OverflowError:
            pass
    if kind in ("datetime", "datetime64", "date"):
        return pd.to_datetime(values)
    if kind in ("timedelta", "timedelta64"):
        return pd.to_timedelta(values)
    known = values[values.notna()]
    # Text among numbers and the like: nobody knows what was meant.
    if all(isinstance(v, Real | Decimal) for v in known) and (
        kind == "boolean" or not any(isinstance(v, bool | np.bool_) for v in known)
    ):
        made = values.map(lambda v: np.nan if v is None or v is pd.NA else float(v))
        return made.astype(np.float64)
    if kind in ("period", "interval", "time"):
        return values
    found = sorted({type(v).__name__ for v in known})
    what = " and ".join(found[:3]) if len(found) > 1 else f"{found[0]} objects"
    raise _refuse(name, f"a mixture of {what}" if len(found) > 1 else what)


def _arrow(values: Any, name: str, index: Any = None) -> pd.Series[Any]:
    """A column of Arrow as a plain one."""
    import pandas as pd
    import pyarrow as pa
    import pyarrow.compute as pc

    if isinstance(values, pa.ChunkedArray):
        values = values.combine_chunks()
        if isinstance(values, pa.ChunkedArray):  # older releases leave one chunk
            values = values.chunk(0) if values.num_chunks else pa.array([], values.type)
    if isinstance(values, pa.ExtensionArray):
        values = values.storage
    kind, t = values.type, pa.types
    if t.is_null(kind):
        return pd.Series([None] * len(values), index, dtype=object, name=name)
    if t.is_boolean(kind) or t.is_integer(kind):
        none = 0 if t.is_integer(kind) else False
        numbers = pc.fill_null(values, none).to_numpy(zero_copy_only=False)
        if not values.null_count:
            return pd.Series(numbers, index, name=name)
        mask = np.asarray(pc.is_null(values).to_numpy(zero_copy_only=False), bool)
        array = pd.arrays.BooleanArray if t.is_boolean(kind) else pd.arrays.IntegerArray
        return pd.Series(array(numbers.copy(), mask), index, name=name)
    if t.is_floating(kind):
        numbers = values.to_numpy(zero_copy_only=False).astype(np.float64, copy=False)
        return pd.Series(numbers, index, name=name)
    if t.is_decimal(kind):
        coded = values.dictionary_encode()
        levels = np.array([float(v) for v in coded.dictionary.to_pylist()] + [np.nan])
        return pd.Series(levels[pc.fill_null(coded.indices, -1).to_numpy()], index, name=name)
    if t.is_dictionary(kind):
        labels = pd.Index(_arrow(values.dictionary, name))
        codes = pc.fill_null(values.indices.cast(pa.int64()), -1).to_numpy()
        made = pd.Categorical.from_codes(codes, labels, ordered=kind.ordered)
        return _category(pd.Series(made, index, name=name), name)
    if t.is_string(kind) or t.is_large_string(kind) or "string_view" in str(kind):
        text = values.cast(pa.large_string()).to_pandas()
    elif t.is_date(kind):
        text = values.cast(pa.timestamp("us")).to_pandas()
    elif t.is_timestamp(kind) or t.is_duration(kind):
        text = values.to_pandas()
    else:
        raise _refuse(name, f"{kind} values")
    return pd.Series(text.array, index, name=name)


def _narwhals(data: Any) -> Any:
    import narwhals as nw

    try:
        return nw.from_native(data, eager_only=True)
    except TypeError:
        pass
    lazy = hasattr(data, "collect")
    raise UsageError(
        f"data is {type(data).__name__}: " + ("collect() it first" if lazy else _TABLES)
    )


def _other(data: Any, columns: Sequence[str]) -> pd.DataFrame:
    """A table that is not pandas'."""
    import narwhals as nw
    import pandas as pd

    frame = _narwhals(data)
    made: dict[str, Any] = {}
    for name in columns:
        values = frame[name]
        if values.dtype == nw.Categorical and values.implementation.is_polars():
            # polars numbers categories by when the process first saw them: their order is chance.
            values = values.cast(nw.String)
        if values.dtype == nw.Object:
            made[name] = _objects(pd.Series(values.to_list(), dtype=object), name)
        else:
            made[name] = _arrow(values.to_arrow(), name)
    return pd.DataFrame(made, index=range(len(frame)))
