"""What every experiment returns: tables, a verdict from the numbers, a figure, files."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from llmdemand.core.sheets import write_csv

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from llmdemand.core.panel import Panel

__all__ = ["COLOUR", "MARKER", "Result", "axes", "evidence", "markdown", "percent"]

# Okabe-Ito: told apart with any colour vision, and by marker.
COLOUR = {
    "belief": "#0072B2",
    "choice": "#D55E00",
    "other": "#009E73",
    "fourth": "#CC79A7",
    "truth": "#000000",
}
MARKER = {"belief": "o", "choice": "s", "other": "^", "fourth": "D"}


@dataclass(frozen=True)
class Result(ABC):
    """Base of all results.

    Attributes
    ----------
    source : str
        Who answered.
    seed : int
        Of the answers.
    """

    source: str
    seed: int

    name: ClassVar[str] = ""
    title: ClassVar[str] = ""
    #: Fields that are written, by the name of the file.
    files: ClassVar[Mapping[str, str]]

    @property
    def tables(self) -> dict[str, pd.DataFrame]:
        """Every table by the name of its file."""
        return {file: getattr(self, field) for file, field in self.files.items()}

    @property
    @abstractmethod
    def holds(self) -> bool:
        """Whether the numbers bear out what the experiment asks."""

    @property
    @abstractmethod
    def verdict(self) -> str:
        """What the numbers say, in words."""

    @abstractmethod
    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the figure on `ax`, or on new axes, and return them."""

    def to_markdown(self) -> str:
        """Verdict and tables as a short text."""
        parts = [f"# {self.title}", f"{self.verdict}", f"Answers: {self.source}; seed {self.seed}."]
        parts += [f"## {name}\n\n{markdown(table)}" for name, table in self.tables.items()]
        return "\n\n".join(parts) + "\n"

    def render(self, kind: str) -> bytes:
        """The figure as the bytes of an SVG or PNG file, the same in every run."""
        from llmdemand.reporting.figures.style import image

        return image(self.plot(), self.name, kind, dpi=150)

    def save(self, folder: str | Path) -> tuple[Path, ...]:
        """Write ``<name>.md``, ``<name>.svg``, ``<name>.png`` and ``<name>-<table>.csv``."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        page = folder / f"{self.name}.md"
        page.write_text(f"{self.to_markdown()}\n![{self.title}]({self.name}.svg)\n", "utf-8")
        written = [page]
        for kind in ("svg", "png"):
            written.append(folder / f"{self.name}.{kind}")
            written[-1].write_bytes(self.render(kind))
        for name, table in self.tables.items():
            written.append(folder / f"{self.name}-{name}.csv")
            write_csv(table, written[-1])
        return tuple(written)

    def _repr_markdown_(self) -> str:
        return self.to_markdown()


def axes(ax: Axes | None = None, size: tuple[float, float] = (6.5, 4.2)) -> Axes:
    """The axes given, or new ones in the lab's style."""
    if ax is not None:
        return ax
    # A bare Figure needs no display and leaves pyplot's state alone.
    from matplotlib.figure import Figure

    made = Figure(figsize=size, layout="constrained").subplots()
    made.spines[["top", "right"]].set_visible(False)
    made.grid(alpha=0.25, lw=0.5)
    return made


def evidence(panel: Panel) -> str:
    """Who answered a panel, in words."""
    model = panel.provenance.get("model", "unknown")
    if panel.provenance.get("backend") == "synthetic":
        return f"{model} (synthetic: a reconstruction, not a language model)"
    return str(model)


def percent(share: float) -> str:
    """A share in per cent, with a digit after the point where it is small.

    >>> percent(0.0471), percent(0.5), percent(0.0)
    ('4.7 %', '50 %', '0 %')
    """
    value = 100 * share
    return f"{value:.0f} %" if value >= 10 or value == 0 else f"{value:.1f} %"


def markdown(frame: pd.DataFrame) -> str:
    """A data frame as a markdown table; numbers with four significant digits.

    >>> import pandas as pd
    >>> print(markdown(pd.DataFrame({"price": [30.0], "share": [0.123456]})))
    | price | share |
    |---|---|
    | 30 | 0.1235 |
    """
    head = [str(column) for column in frame.columns]
    lines = [head, ["---"] * len(head)]
    lines += [[_cell(value) for value in row] for row in frame.itertuples(index=False)]
    rows = [
        "|" + "|".join(row) + "|" if row[0] == "---" else "| " + " | ".join(row) + " |"
        for row in lines
    ]
    return "\n".join(rows)


def _cell(value: object) -> str:
    if isinstance(value, float):
        return "" if value != value else f"{value:.4g}"
    return str(value).replace("|", "\\|")
