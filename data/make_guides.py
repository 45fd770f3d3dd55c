"""Draws the pictures of the guides from consumers whose demand is known; nobody is asked.

    python data/make_guides.py

writes part-worths.png, quantities.png, ratings.png and tastes.png into data/figures.
"""

import tempfile
from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import llmdemand as ld

FIGURES = Path(__file__).parent / "figures"


def main() -> None:
    """Each result with the picture that it draws of itself."""
    coffee = ld.load_study(ld.new_study(Path(tempfile.mkdtemp()) / "coffee.toml", conjoint=True))
    worth = ld.conjoint(ld.simulate(coffee, "synthetic", runs=10, seed=1))
    worth.plot().savefig(FIGURES / "part-worths.png", dpi=110)
    packs = ld.simulate(ld.load_study("coffee-packs"), "synthetic", runs=20, seed=1)
    save(ld.quantity_demand(packs).plot(), "quantities")
    intention = ld.simulate(ld.load_study("coffee-intention"), "synthetic", runs=20, seed=1)
    save(ld.ologit(intention).plot(), "ratings")
    people = pd.DataFrame({"respondent_id": [f"r{k:02d}" for k in range(60)]})
    study = ld.load_study("pampers").with_respondents(people)
    consumer = ld.SyntheticBackend(study, persona_slope_sd=0.15, persona_sd=1.5)
    found = ld.tastes(ld.simulate(study, consumer, runs=1, seed=1))
    found.figure().savefig(FIGURES / "tastes.png", dpi=110)


def save(axes: Axes, name: str) -> None:
    """The figure of these axes."""
    figure = axes.get_figure(root=True)
    assert isinstance(figure, Figure)
    figure.savefig(FIGURES / f"{name}.png", dpi=110)


if __name__ == "__main__":
    main()
