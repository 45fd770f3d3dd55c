"""Draws the pictures of the READMEs from panels that `llmdemand replicate` wrote.

    python data/make_figures.py FOLDER NAME

reads FOLDER/panel.parquet and writes data/figures/NAME.png.
"""

import sys
from pathlib import Path

from matplotlib.figure import Figure

from llmdemand import Panel, compare
from llmdemand.reporting.figures.figures import demand_curve
from llmdemand.reporting.figures.runplots import within_by_runs


def main(folder: str, name: str) -> None:
    """Demand on the left, runs needed on the right."""
    report = compare(Panel.read(Path(folder) / "panel.parquet"))
    figure = Figure(figsize=(10, 4), layout="constrained")
    for axes, draw in zip(figure.subplots(1, 2), (demand_curve, within_by_runs), strict=True):
        axes.spines[["top", "right"]].set_visible(False)
        draw(report, ax=axes)
    figure.savefig(Path(__file__).parent / "figures" / f"{name}.png", dpi=110)


if __name__ == "__main__":
    main(*sys.argv[1:])
