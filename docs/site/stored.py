"""Notebooks as pages, with the outputs that are stored in them; nothing is executed."""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from html import escape
from pathlib import Path
from textwrap import fill
from typing import Any

import nbformat

__all__ = ["Picture", "converted"]

#: Kinds of pictures, and how their files end.
_PICTURES = {"image/svg+xml": "svg", "image/png": "png"}


@dataclass(frozen=True)
class Picture:
    """A picture among the outputs of a notebook.

    Attributes
    ----------
    file : str
        Beside the page.
    section : str
        The heading that it stands under.
    data : bytes
        What is in the file.
    """

    file: str
    section: str
    data: bytes


def converted(path: Path) -> tuple[str, list[Picture]]:
    """A notebook as markdown, and its pictures.

    Raises
    ------
    SystemExit
        If a cell was not executed, or failed: its page would miss what it is about.
    """
    notebook = nbformat.read(path, as_version=4)
    parts: list[str] = []
    pictures: list[Picture] = []
    section = path.stem
    for number, cell in enumerate(notebook.cells, 1):
        if cell.cell_type == "markdown":
            parts.append(cell.source)
            section = (re.findall(r"^#+ (.+)$", cell.source, re.M) or [section])[-1]
        elif cell.cell_type == "code" and cell.source.strip():
            if cell.execution_count is None:
                raise SystemExit(f"{path.name}: cell {number} was never executed; execute it, save")
            parts.append(_fenced(cell.source, "python"))
            for output in cell.outputs:
                shown, picture = _output(output, f"{path.stem}-{len(pictures) + 1}", section)
                parts.append(shown)
                pictures += [picture] if picture else []
    return "\n\n".join(filter(None, parts)) + "\n", pictures


def _output(output: Any, stem: str, section: str) -> tuple[str, Picture | None]:
    """One output in the richest form that a page shows, and its picture."""
    if output.output_type == "error":
        raise SystemExit(f"{stem}: a cell failed with {output.ename}; mend it, and save the rest")
    if output.output_type == "stream":
        return _fenced("\n".join(map(_broken, output.text.rstrip().splitlines())), "text"), None
    data = output.data
    for kind, ending in _PICTURES.items():
        if kind in data:
            raw = data[kind].encode() if ending == "svg" else base64.b64decode(data[kind])
            picture = Picture(f"{stem}.{ending}", section, raw)
            return f'<img src="{picture.file}" alt="{escape(section)}">', picture
    if "text/markdown" in data:
        return data["text/markdown"].strip(), None
    if "text/html" in data:
        table = re.sub(r"<style.*?</style>| border=\"1\"", "", data["text/html"], flags=re.S)
        table = re.sub(r"\n\s*\n", "\n", table)
        return f'<div class="output">\n{table.strip()}\n</div>', None
    return _fenced(data.get("text/plain", "").rstrip(), "text"), None


def _broken(line: str) -> str:
    """A sentence in lines that a page shows whole; a row of a table is left alone."""
    return line if "  " in line.strip() else fill(line, 84, break_on_hyphens=False)


def _fenced(text: str, language: str) -> str:
    """Text between fences that it does not hold itself."""
    if not text.strip():
        return ""
    fence = "`" * max(3, *(len(run) + 1 for run in re.findall(r"`{3,}", text)), 3)
    return f"{fence}{language}\n{text}\n{fence}"
