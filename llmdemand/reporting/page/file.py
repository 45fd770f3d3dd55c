"""From a template to a file that loads nothing."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmdemand.errors import UsageError

if TYPE_CHECKING:
    from markupsafe import Markup

__all__ = ["write_file"]


def write_file(path: str | Path, template: str, **values: Any) -> None:
    """Fill a template of the page and write it.

    Parameters
    ----------
    path : path
        The file; its folder is made.
    template : str
        Its name.
    **values
        What stands in it.

    Raises
    ------
    UsageError
        If the path is a folder, or its folder a file.
    """
    from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

    from llmdemand import __version__

    path = Path(path)
    if path.is_dir():
        raise UsageError(f"{path} is a folder: give the path of an HTML file")
    if any(parent.is_file() for parent in path.parents):
        raise UsageError(f"{path} lies in a file: give a path in a folder")
    rooms = ("llmdemand.reporting.page", "llmdemand.reporting.simulator")
    environment = Environment(
        loader=ChoiceLoader([PackageLoader(room) for room in rooms]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["code"] = _code
    page = environment.get_template(template).render(version=__version__, **values)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page, encoding="utf-8")


def _code(text: str) -> Markup:
    """Text, escaped, in which what stands between backticks is code.

    >>> _code("`a<b`, said he")
    Markup('<code>a&lt;b</code>, said he')
    """
    from markupsafe import Markup, escape

    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))
