"""What people chose: the tables that are shipped with the package."""

from __future__ import annotations

from importlib.resources import as_file
from typing import TYPE_CHECKING

from llmdemand.core.resources import data_file, data_names
from llmdemand.errors import UsageError, nearest

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["humans", "load_humans"]

_KINDS = (".csv", ".csv.gz")


def humans() -> tuple[str, ...]:
    """Names of the shipped tables; data/humans/README.md has source and licence of each."""
    return tuple(sorted(_files()))


def load_humans(name: str) -> pd.DataFrame:
    """Choices of people by the name of their table, one row per person, task and alternative.

    Parameters
    ----------
    name : str
        One of `humans`. Choices of your own are read by ``pandas.read_csv``.

    Returns
    -------
    pandas.DataFrame
        ``respondent_id`` is text, as it is in panels.

    Raises
    ------
    UsageError
        For an unknown name, with the nearest one.

    Examples
    --------
    >>> cars = load_humans("cars")
    >>> len(cars), cars["respondent_id"].nunique(), int(cars["choice"].sum())
    (3600, 120, 1200)
    """
    import pandas as pd

    known = _files()
    if name not in known:
        raise UsageError(
            f"no people {name!r} in the package{nearest(name, humans())}: it has "
            f"{', '.join(humans())}; choices on disk are read by pandas.read_csv(path)"
        )
    with as_file(data_file("humans", known[name])) as path:
        return pd.read_csv(path, dtype={"respondent_id": str})


def _files() -> dict[str, str]:
    """File of each name."""
    return {
        file.removesuffix(kind): file
        for file in data_names("humans")
        for kind in _KINDS
        if file.endswith(kind)
    }
