"""The panels that are shipped with the package."""

from __future__ import annotations

from importlib.resources import as_file

from llmdemand.core.panel import Panel
from llmdemand.core.resources import data_file, data_names
from llmdemand.errors import PanelError, nearest

__all__ = ["load_panel", "panels"]


def panels() -> tuple[str, ...]:
    """Names of the shipped panels; data/panels/README.md says how each was made."""
    found = (n for n in data_names("panels") if n.endswith(".parquet"))
    return tuple(sorted(n.removesuffix(".parquet") for n in found))


def load_panel(name: str) -> Panel:
    """A panel by its name: answers of the embedded language model, with choices and beliefs.

    Parameters
    ----------
    name : str
        One of `panels`. A panel of your own is read by ``Panel.read(path)``.

    Raises
    ------
    PanelError
        For an unknown name, with the nearest one.

    Examples
    --------
    >>> panel = load_panel("pampers")
    >>> panel.study.name, len(panel.frame["price_pampers"].unique())
    ('pampers-households', 16)
    """
    known = panels()
    if name not in known:
        raise PanelError(
            f"no panel {name!r} in the package{nearest(name, known)}: it has {', '.join(known)}; "
            "panels on disk are read by Panel.read(path)"
        )
    with as_file(data_file("panels", f"{name}.parquet")) as path:
        return Panel.read(path)
