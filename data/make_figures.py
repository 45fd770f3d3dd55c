"""Draws the pictures of the READMEs from panels that `llmdemand replicate` wrote.

    python data/make_figures.py FOLDER NAME
    python data/make_figures.py NOTEBOOK.ipynb NAME [WHICH]

reads FOLDER/panel.parquet, or takes a picture that a notebook shows (0, the first, without WHICH;
-1 is the last), and writes data/figures/NAME.png.
"""

import base64
import json
import sys
from pathlib import Path

from matplotlib.figure import Figure

from llmdemand import Panel, compare
from llmdemand.reporting.figures.figures import demand_curve
from llmdemand.reporting.figures.runplots import within_by_runs

FIGURES = Path(__file__).parent / "figures"


def main(source: str, name: str, which: str = "0") -> None:
    """Draw from a folder, or take from a notebook."""
    if source.endswith(".ipynb"):
        (FIGURES / f"{name}.png").write_bytes(picture(source, int(which)))
    else:
        from_panel(source, name)


def picture(notebook: str, which: int) -> bytes:
    """One of the PNGs among the outputs of a notebook."""
    cells = json.loads(Path(notebook).read_text("utf-8"))["cells"]
    outputs = [output.get("data", {}) for cell in cells for output in cell.get("outputs", ())]
    return base64.b64decode([d["image/png"] for d in outputs if "image/png" in d][which])


def from_panel(folder: str, name: str) -> None:
    """Demand on the left, runs needed on the right."""
    report = compare(Panel.read(Path(folder) / "panel.parquet"))
    figure = Figure(figsize=(10, 4), layout="constrained")
    for axes, draw in zip(figure.subplots(1, 2), (demand_curve, within_by_runs), strict=True):
        axes.spines[["top", "right"]].set_visible(False)
        draw(report, ax=axes)
    figure.savefig(FIGURES / f"{name}.png", dpi=110)


if __name__ == "__main__":
    main(*sys.argv[1:])
