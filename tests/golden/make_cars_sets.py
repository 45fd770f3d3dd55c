"""Writes cars_sets.json: conditional logits of the bundled cars by statsmodels, slowly.

python tests/golden/make_cars_sets.py
"""

import json
from pathlib import Path

import numpy as np
from statsmodels.discrete.conditional_models import ConditionalLogit

import llmdemand as ld

X = ["price", "seat4", "seat5", "trans", "convert"]
PRODUCT = {"price": 35, "seat4": 1, "seat5": 0, "trans": 1, "convert": 0}


def fitted(rows, y="choice"):
    """Coefficients, in the order of X."""
    fit = ConditionalLogit(rows[y], rows[X], groups=rows["task"]).fit(disp=0, gtol=1e-9)
    return [float(b) for b in fit.params]


def main() -> None:
    """The models' and the people's fits: of all, by segment, without a fold, without a product."""
    cars = ld.load_humans("cars")
    people = cars["respondent_id"].unique()
    fold = np.empty(len(people), int)
    fold[np.random.default_rng(1).permutation(len(people))] = np.arange(len(people)) % 10
    product = (cars[list(PRODUCT)] == list(PRODUCT.values())).all(axis=1)
    found = {
        "statsmodels gpt_4o": fitted(cars, "choice_gpt_4o"),
        "segments": {
            y: [fitted(cars[cars["segment"] == k], y) for k in (1, 2, 3)]
            for y in ("choice", "choice_gpt_4o")
        },
        "without fold 7": fitted(cars[~cars["respondent_id"].isin(people[fold == 7])]),
        "without the product": fitted(cars[~cars["task"].isin(cars.loc[product, "task"])]),
    }
    Path(__file__).with_name("cars_sets.json").write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
