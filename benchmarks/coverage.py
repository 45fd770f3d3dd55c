"""What calibration promises and keeps: python benchmarks/coverage.py [--reps 1000].

Coverage of 95 % intervals, standard errors against the spread of estimates, and effective humans
said against those had, by number of humans, LLM, and world: one of known truth
(`llmdemand.paired_panel`), and people resampled from a survey (Kakadu: 1,827 answers to a first bid,
with attitudes). The table of docs/calibration.md.
"""

from __future__ import annotations

import argparse
import time
import warnings
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd

import llmdemand as ld
from llmdemand.calibration.moments.moments import Moments
from llmdemand.calibration.ppi import CalibrationWarning, calibrate_moments
from llmdemand.calibration.samples.samples import pair
from llmdemand.calibration.target import Target
from llmdemand.errors import DesignError
from llmdemand.modeling.quantities.quantity import Quantity

KAKADU = Path(__file__).parents[1] / "tests" / "golden" / "kakadu.csv.gz"
WORLDS = ("known truth", "Kakadu")
HUMANS = (24, 40, 60, 100, 200)
POOL = 5  # LLM respondents for each human


def expit(x):
    return 1 / (1 + np.exp(-x))


def log_odds(p):
    return np.log(p) - np.log1p(-p)


# Each takes answers and beliefs of humans, beliefs of the pool, a generator: what the LLM says.
LLMS = {
    "good": lambda y, f, g, rng: (f, g),
    "biased": lambda y, f, g, rng: (expit(log_odds(f) + 1.5), expit(log_odds(g) + 1.5)),
    "inverted": lambda y, f, g, rng: (1 - f, 1 - g),
    "noise": lambda y, f, g, rng: (rng.random(len(f)), rng.random(len(g))),
    "low variance": lambda y, f, g, rng: (0.5 + 0.05 * (f - 0.5), 0.5 + 0.05 * (g - 0.5)),
    "leaked": lambda y, f, g, rng: (expit(log_odds(f) + 2 * (2 * y - 1)), g),
    "shifted": lambda y, f, g, rng: (f, expit(log_odds(g) + 0.6)),
}


@dataclass(frozen=True)
class Coefficient(Target):
    """The price coefficient in closed form: ten times as fast as the package's own."""

    def quantity(self, fit, alpha=0.05):
        from scipy import stats

        value, se = float(fit.params["price"]), float(fit.cov.loc["price", "price"]) ** 0.5
        half = stats.t.ppf(1 - alpha / 2, fit.df) * se
        row = {"estimate": value, "se": se, "lower": value - half, "upper": value + half}
        return Quantity(self.name, pd.DataFrame([row]), "none", "", "")

    def gradient(self, fit):
        return np.array([0.0, 1.0])


@cache
def survey():
    """The people of Kakadu, each with the belief of a logit in bid and attitudes."""
    frame = pd.read_csv(KAKADU)
    attitudes = [c for c in frame.columns if c not in ("price", "choice")]
    told = (frame[attitudes] - frame[attitudes].mean()) / frame[attitudes].std()
    told = told.assign(price=frame["price"], choice=frame["choice"])
    fit = ld.logit("choice ~ price + " + " + ".join(attitudes), told)
    return frame.assign(belief=np.asarray(fit.predict(told)))


@cache
def kakadu_slope():
    """The logit of all 1,827, each bid counted alike: what is estimated."""
    shares = survey().groupby("price")["choice"].mean().reset_index()
    return float(ld.fraclogit("choice ~ price", shares).params["price"])


def known_truth(n, seed):
    data = ld.paired_panel(humans=n, llm=POOL * n, answers=1, bias=0.0, llm_slope=-0.25, seed=seed)
    return data.humans, data.beliefs, data.slope


def kakadu(n, seed):
    """Each bid is put to a quarter of the people on either side, drawn with replacement."""
    rng = np.random.default_rng(seed)
    sides = []
    for size in (n, POOL * n):
        drawn = [
            rows.iloc[rng.integers(len(rows), size=size // 4)]
            for _, rows in survey().groupby("price")
        ]
        sides.append(pd.concat(drawn))
    both = pd.concat(sides, ignore_index=True)
    both = both.assign(respondent_id=np.arange(len(both)))[
        ["respondent_id", "price", "choice", "belief"]
    ]
    return both[:n].drop(columns="belief"), both.drop(columns="choice"), kakadu_slope()


def study(world, n, seeds, llms=tuple(LLMS)):
    """One row per data set and LLM: estimates, errors, and what was said."""
    draw = known_truth if world == "known truth" else kakadu
    rows = []
    for seed in seeds:
        humans, beliefs, truth = draw(n, seed)
        try:
            pairs = pair(humans, beliefs)
        except DesignError:
            rows += [{"llm": llm, "refused": True} for llm in llms]
            continue
        rng = np.random.default_rng(seed)
        for llm in llms:
            f, g = LLMS[llm](pairs.humans.y, pairs.humans.f, pairs.pool.f, rng)
            rows.append({"llm": llm, **calibrated(told(pairs, f, g), truth)})
    return pd.DataFrame(rows)


def told(pairs, f, g):
    """The same people with other beliefs."""
    return pairs.with_beliefs(f, g)


def calibrated(pairs, truth):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", CalibrationWarning)
        try:
            target = Coefficient("price", None, "price", "choice")
            found = calibrate_moments(Moments(pairs), target, reps=2, seed=0, prompt="nobody")
        except DesignError:
            return {"refused": True}
    # That there are few humans is true of all rows of a small number.
    said = [str(w.message) for w in caught if issubclass(w.category, CalibrationWarning)]
    table = found.table
    inside = (table["lower"] < truth) & (truth < table["upper"])
    return {
        "refused": False,
        "warned": any("humans: " not in s[:12] for s in said),
        "covered": bool(inside["calibrated"]),
        "covered alone": bool(inside["humans only"]),
        "estimate": table.loc["calibrated", "estimate"],
        "alone": table.loc["humans only", "estimate"],
        "se": table.loc["calibrated", "se"],
        "n_eff": found.n_eff,
        "lambda": found.lam,
    }


def spread(values):
    """Standard deviation from the middle two thirds: slopes of few humans have long tails."""
    low, high = np.nanquantile(values, [1 / 6, 5 / 6])
    return (high - low) / 1.9348


def summary(rows, n):
    """Coverage and the rest by LLM; those data sets that were neither refused nor warned of."""
    found = {}
    for llm, part in rows.groupby("llm", sort=False):
        kept = part[part["refused"] == False]  # noqa: E712
        quiet = kept[kept["warned"] == False]  # noqa: E712
        found[llm] = {
            "coverage": kept["covered"].mean(),
            "unwarned": quiet["covered"].mean() if len(quiet) > 0.05 * len(part) else np.nan,
            "warned": kept["warned"].mean(),
            "alone": kept["covered alone"].mean(),
            "SE/SD": kept["se"].median() / spread(kept["estimate"]),
            "n_eff said": kept["n_eff"].mean(),
            "n_eff true": n * (spread(kept["alone"]) / spread(kept["estimate"])) ** 2,
            "refused": part["refused"].mean(),
        }
    return pd.DataFrame(found).T.rename_axis("llm")


def main():
    """Print the table as Markdown, and save it as CSV if asked to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--reps", type=int, default=1000, help="data sets of each kind")
    parser.add_argument("--out", type=Path, help="CSV file to write")
    parser.add_argument("--humans", type=int, nargs="*", default=HUMANS)
    options = parser.parse_args()
    tables, begin = {}, time.perf_counter()
    for world in WORLDS:
        for n in options.humans:
            tables[world, n] = summary(study(world, n, range(options.reps)), n)
            if options.out:
                pd.concat(tables, names=["world", "humans"]).to_csv(options.out)
            print(f"\n{world}, {n} humans, {time.perf_counter() - begin:.0f} s", flush=True)
            print(tables[world, n].round(3).to_string(), flush=True)


if __name__ == "__main__":
    main()
