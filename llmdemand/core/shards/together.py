"""Frames of several parts as one frame."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from llmdemand.errors import PanelError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["together"]


def together(frames: Sequence[pd.DataFrame], where: Sequence[str] = ()) -> pd.DataFrame:
    """The rows of several frames, in their order.

    A column in which one part has nothing at all is read without a type, or with another one
    than elsewhere: it takes that of the parts that have something.

    Parameters
    ----------
    frames : sequence of pandas.DataFrame
        At least one; empty ones are allowed.
    where : sequence of str
        Where they come from, for messages.

    Raises
    ------
    PanelError
        If a column is of numbers in one part and of text in another.

    Examples
    --------
    >>> import pandas as pd
    >>> parts = [pd.DataFrame({"x": [None, None]}), pd.DataFrame({"x": [0.5]})]
    >>> str(together(parts)["x"].dtype)
    'float64'
    """
    import pandas as pd

    names = list(dict.fromkeys(name for frame in frames for name in frame.columns))
    known: dict[str, tuple[Any, str]] = {}
    for name in names:
        for frame, file in zip(frames, where or ["another part"] * len(frames), strict=True):
            if name not in frame.columns or frame[name].isna().all():
                continue
            dtype = frame[name].dtype
            before, first = known.setdefault(name, (dtype, file))
            if pd.api.types.is_numeric_dtype(before) != pd.api.types.is_numeric_dtype(dtype):
                raise PanelError(
                    f"column {name!r} holds {dtype} in {file} and {before} in {first}: "
                    "write the parts again by one version"
                )
    typed = []
    for frame in frames:
        if not len(frame):
            continue
        nothing = {
            name: pd.Series([None] * len(frame), frame.index, dtype=_open(dtype))
            for name, (dtype, _) in known.items()
            if name not in frame.columns or frame[name].isna().all()
        }
        typed.append(frame.assign(**nothing).reindex(columns=names))
    if not typed:
        return frames[0].reset_index(drop=True)
    return pd.concat(typed, ignore_index=True)


def _open(dtype: Any) -> Any:
    """A type that can be missing, for a column that is."""
    import pandas as pd

    if pd.api.types.is_bool_dtype(dtype):
        return "boolean"
    plain = isinstance(dtype, pd.api.extensions.ExtensionDtype)
    return "float64" if not plain and pd.api.types.is_numeric_dtype(dtype) else dtype
