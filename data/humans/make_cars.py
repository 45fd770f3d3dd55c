"""Writes cars.csv.gz from the authors' own files.

    git clone https://github.com/mxw-selene/ai-augmented-estimation
    python data/humans/make_cars.py ai-augmented-estimation

The files are pickles: of what a pickle may call, only what builds numpy's arrays is let in.
"""

import gzip
import pickle
import sys
from pathlib import Path

import numpy as np
import pandas as pd

PEOPLE, TASKS, CARS = 120, 10, 3
SETUPS = (
    "gpt-0613",
    "cot-gpt-0613",
    "gpt-0125",
    "cot-gpt-0125",
    "gpt-4o",
    "cot-gpt-4o",
    "cot-gpt-4",
    "fs-gpt-4o",
    "ft-gpt-4o",
)
ATTRIBUTES = ("seat4", "seat5", "trans", "convert", "price")
ALLOWED = {"_reconstruct", "_frombuffer", "ndarray", "dtype", "scalar"}


class Arrays(pickle.Unpickler):
    """Reads arrays, and refuses everything else."""

    def find_class(self, module, name):
        """What the pickle may call."""
        if module.split(".")[0] == "numpy" and name in ALLOWED:
            return super().find_class(module.replace("numpy.core", "numpy._core"), name)
        raise pickle.UnpicklingError(f"{module}.{name} is no part of an array")


def read(path):
    """One data set: `X` (tasks, cars, columns), `y`, `resp_id_list`, and `y_aug` of a model."""
    with path.open("rb") as file:
        return Arrays(file).load()[0]


def main(clone: str, out: str = str(Path(__file__).with_name("cars.csv.gz"))) -> None:
    """Write the table: a row per car of each task."""
    folder, count = Path(clone) / "car" / "data", PEOPLE * TASKS
    people = read(folder / "train_real_7_1640.pkl")  # all 164; models answered as the first 120
    x = np.array(people["X"][:count])
    d1, d2 = x[:, 0, 1], x[:, 0, 2]
    segment = 1 + d1 + 2 * d2
    rows = np.repeat(np.arange(count), CARS)
    car = np.tile(np.arange(CARS), count)
    table = {
        "respondent_id": np.array(people["resp_id_list"][:count])[rows],
        "task": rows + 1,
        "alternative": car + 1,
        "segment": segment[rows],
    }
    table |= dict(zip(ATTRIBUTES, x[:, :, 3:].reshape(-1, 5).T, strict=True))
    table["choice"] = (np.array(people["y"][:count])[rows] == car).astype(int)
    for setup in SETUPS:
        told = read(folder / f"train_{setup}_7_{count}.pkl")
        if not np.array_equal(np.array(told["X"][:count]), x):
            raise SystemExit(f"{setup} was asked about other tasks")
        table["choice_" + setup.replace("-", "_")] = (told["y_aug"][rows] == car).astype(int)
    text = pd.DataFrame(table).to_csv(index=False, lineterminator="\n")
    Path(out).write_bytes(gzip.compress(text.encode(), 9, mtime=0))


if __name__ == "__main__":
    main(*sys.argv[1:])
