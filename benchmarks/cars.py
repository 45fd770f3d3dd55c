"""Nine set-ups of a model on people who chose cars: python benchmarks/cars.py [--draws 200].

People are drawn from the 120 of `llmdemand.load_humans("cars")` with replacement, as humans and as
further respondents of the model; the truth is the price coefficient of all 120. For each set-up,
their mean, and the best by cross-fitting: coverage of 95 % intervals, standard error over spread,
effective humans said and had; and rho among all 120. docs/calibration.md quotes it.
"""

from __future__ import annotations

import argparse
import warnings

import numpy as np
import pandas as pd

import llmdemand as ld

FORMULA = "choice ~ price + seat4 + seat5 + trans + convert | 0"


def main() -> None:
    """Print the table."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--draws", type=int, default=200)
    options.add_argument("--humans", type=int, default=60)
    options.add_argument("--pool", type=int, default=240)
    options.add_argument("--seed", type=int, default=1)
    given = options.parse_args()
    warnings.simplefilter("ignore", ld.CalibrationWarning)
    cars = ld.load_humans("cars")
    setups = [c for c in cars if c.startswith("choice_")]
    cars["mean of nine"] = cars[setups].mean(axis=1)
    truth = ld.clogit(FORMULA, cars, case="task").params["price"]
    people = [part for _, part in cars.groupby("respondent_id")]
    ways = {name: {"belief": name} for name in [*setups, "mean of nine"]}
    ways["best by cross-fitting"] = {"prompts": setups}
    rng, found = np.random.default_rng(given.seed), []
    for _ in range(given.draws):
        humans, pool = (drawn(people, size, rng) for size in (given.humans, given.pool))
        pool["respondent_id"] = "further " + pool["respondent_id"]
        for name, way in ways.items():
            one = ld.calibrate(
                humans, pool, FORMULA, model="clogit", design="sampled", case="task", reps=2, **way
            )
            for kind in ("calibrated", "humans only"):
                row = one.table.loc[kind]
                found.append(
                    {
                        "set-up": name if kind == "calibrated" else kind,
                        "estimate": row["estimate"],
                        "se": row["se"],
                        "covers": row["lower"] <= truth <= row["upper"],
                        "said": one.n_eff if kind == "calibrated" else given.humans,
                    }
                )
    print(summary(pd.DataFrame(found), truth, given.humans).to_string())
    print(correlations(cars, [*setups, "mean of nine"]).to_string())


def correlations(cars: pd.DataFrame, beliefs: list[str]) -> pd.DataFrame:
    """Of each LLM with all people: independent of the pool, here the same people."""
    pool = cars.assign(respondent_id="further " + cars["respondent_id"])
    options = {"model": "clogit", "design": "sampled", "case": "task", "reps": 2}
    found = {b: ld.calibrate(cars, pool, FORMULA, belief=b, **options).tuning for b in beliefs}
    rows = {b: [t.rho_raw, *t.table.loc["rho", ["lower", "upper"]]] for b, t in found.items()}
    return pd.DataFrame(rows, index=["rho", "lower", "upper"]).T.round(3)


def drawn(people: list[pd.DataFrame], size: int, rng: np.random.Generator) -> pd.DataFrame:
    """So many people with replacement, each under a name and with tasks of their own."""
    parts = [people[k] for k in rng.integers(len(people), size=size)]
    rows = pd.concat(parts, ignore_index=True)
    who = np.repeat(np.arange(size), [len(p) for p in parts])
    return rows.assign(respondent_id=who.astype(str))


def summary(rows: pd.DataFrame, truth: float, humans: int) -> pd.DataFrame:
    """A row for each set-up."""
    by = rows.groupby("set-up", sort=False)
    table = pd.DataFrame(
        {
            "bias": by["estimate"].mean() - truth,
            "coverage": 100 * by["covers"].mean(),
            "se / spread": by["se"].mean() / by["estimate"].std(),
            "n_eff said": by["said"].mean(),
        }
    )
    spread = by["estimate"].var()
    return table.assign(**{"n_eff had": humans * spread["humans only"] / spread}).round(4)


if __name__ == "__main__":
    main()
