"""Links between the pages: from where files lie in the repository to where the site has them."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

__all__ = ["piped", "place", "rewritten", "targets"]

#: Code, in which nothing is a link; then a link or picture of this repository.
_CODE = re.compile(r"(^ *(?:`{3,}|~{3,}).*?^ *(?:`{3,}|~{3,}) *$|``.*?``|`[^`\n]*`)", re.M | re.S)
_CELL = re.compile(r"`[^`\n]+`")
_LINK = re.compile(r"\]\((?![a-z]+:|#|<)([^)\s#]+)(#[^)\s]*)?\)")


def place(path: str) -> str:
    """Where the site has a file of the repository: ``docs/`` is its root, a README is an index.

    >>> place("docs/belief.md"), place("data/README.md"), place("notebooks/01-quickstart.ipynb")
    ('belief.md', 'data/index.md', 'notebooks/01-quickstart.md')
    >>> place("README.md"), place("CHANGELOG.md"), place("data/figures/a.png")
    ('index.md', 'changelog.md', 'data/figures/a.png')
    """
    found = PurePosixPath(path)
    if found.parts[0] == "docs":
        return found.relative_to("docs").as_posix()
    if found.name == "README.md":
        return found.with_name("index.md").as_posix()
    if found.suffix == ".ipynb":
        return found.with_suffix(".md").as_posix()
    if found.suffix == ".md":
        return found.with_name(found.name.lower()).as_posix()
    return path


def targets(text: str, source: str, root: Path) -> Iterator[str]:
    """Files of the repository that a page links to, as paths from its root.

    Raises
    ------
    SystemExit
        If one is missing.
    """
    for part in _CODE.split(text)[::2]:
        for match in _LINK.finditer(part):
            yield _resolved(match[1], source, root)


def rewritten(text: str, source: str, root: Path) -> str:
    """The page with its links to files of the repository turned into links within the site."""
    here = PurePosixPath(place(source)).parent

    def turned(match: re.Match[str]) -> str:
        there = place(_resolved(match[1], source, root))
        return f"]({os.path.relpath(there, here)}{match[2] or ''})".replace(os.sep, "/")

    parts = _CODE.split(text)
    parts[::2] = [_LINK.sub(turned, part) for part in parts[::2]]
    return "".join(parts)


def piped(text: str) -> str:
    r"""Tables whose code has bare pipes, as the site wants them; GitHub wants them escaped.

    >>> print(piped(r"| `a \| b` | c \| d |"))
    | `a | b` | c \| d |
    """
    return re.sub(r"^ *\|.*$", lambda row: _CELL.sub(_bare, row[0]), text, flags=re.M)


def _bare(code: re.Match[str]) -> str:
    return code[0].replace("\\|", "|")


def _resolved(link: str, source: str, root: Path) -> str:
    """The file that a link leads to; of a folder, its README, or the overview of the notebooks."""
    path = PurePosixPath(os.path.normpath(PurePosixPath(source).parent / link).replace(os.sep, "/"))
    if path.as_posix() == "notebooks":
        return "notebooks/README.md"
    found = root / path
    if found.is_dir() and (found / "README.md").is_file():
        return (path / "README.md").as_posix()
    if not found.is_file():
        raise SystemExit(f"{source} links to {link}: there is no such file in the repository")
    return path.as_posix()
