"""The starter: a commented study to edit."""

from __future__ import annotations

import json
from pathlib import Path

from llmdemand.core.resources import data_file
from llmdemand.errors import StudyError

__all__ = ["new_study"]

_NAME = 'name = "my-study"'


def new_study(path: str | Path, name: str | None = None, *, conjoint: bool = False) -> Path:
    """Write a complete, commented study of two brands, to be edited.

    It asks for the choice first: a free answer may weigh one brand and take the other, and what
    its first name says is then not what it chooses.

    Parameters
    ----------
    path : str or Path
        Of the TOML file to write; missing folders are made.
    name : str, optional
        Name of the study; by default that of the file.
    conjoint : bool
        A choice experiment instead: three brands that differ in price, size and roast.

    Returns
    -------
    Path
        The file, which `load_study` reads as it is.

    Raises
    ------
    StudyError
        If the path does not end in ``.toml``, is taken or cannot be written, or if the
        name is empty.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from llmdemand.core.study import load_study
    >>> with TemporaryDirectory() as folder:
    ...     load_study(new_study(f"{folder}/water.toml")).name
    'water'
    """
    path = Path(path)
    if path.suffix != ".toml":
        raise StudyError(f"{str(path)!r} is no name of a study file: let it end in .toml")
    name = path.stem if name is None else name
    if not name.strip():
        raise StudyError("the name of the study is empty: give one, or leave it out")
    template = data_file("templates", "conjoint.toml" if conjoint else "study.toml").read_text(
        "utf-8"
    )
    # JSON's texts are TOML's, but for the one control character that JSON leaves bare.
    quoted = json.dumps(name, ensure_ascii=False).replace("\x7f", "\\u007f")
    text = template.replace(_NAME, f"name = {quoted}", 1)
    if path.exists():
        raise StudyError(f"{path} exists: give another path, or remove it first")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # "x": nor is a file overwritten that another process has just made.
        with path.open("x", encoding="utf-8", newline="\n") as file:
            file.write(text)
    except OSError as error:
        raise StudyError(
            f"{path} cannot be written ({error.strerror}): give another path"
        ) from None
    return path
