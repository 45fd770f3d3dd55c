"""Times of calibration, and what its designs keep: python benchmarks/calibration.py [PART ...].

Parts: `times`; `surveys` (weights, strata, margins, clusters), `proxies` (several models) and
`choice` (whom to ask next), each in `--reps` studies: coverage of 95 % intervals, standard error
over spread of estimates, effective humans said and had (the ratio of variances, that of humans
alone over the calibrated one). docs/calibration.md has the tables.
"""

from __future__ import annotations

import argparse
import time
import warnings
from statistics import median

import numpy as np
import pandas as pd

import llmdemand as ld

HUMANS = 240
PILOT = 120


def seconds(run, times: int = 5) -> float:
    """Median time of a call, after one to warm up."""
    run()
    found = []
    for _ in range(times):
        begin = time.perf_counter()
        run()
        found.append(time.perf_counter() - begin)
    return median(found)


def times() -> None:
    """Print seconds, and their ratio to the clustered logit of the humans alone."""
    for humans, llm in ((200, 1_000), (1_000, 20_000), (5_000, 245_000)):
        data = ld.paired_panel(humans=humans, llm=llm, seed=1)
        whole = seconds(lambda data=data: ld.calibrate(data.humans, data.beliefs))
        alone = seconds(
            lambda data=data: ld.logit(
                "choice ~ price", data.humans, vcov={"CRV1": "respondent_id"}
            )
        )
        print(
            f"{humans:,} humans x 4 prices, {len(data.beliefs):,} LLM rows: {whole:.2f} s, "
            f"{whole / alone:.0f} times the humans' logit alone"
        )


# Studies: humans, beliefs and options of a calibration, by a seed ---------------------------------


def survey(seed, heavy, **options):
    """The rich are asked `heavy` times as often as the poor, and weighted back."""
    data = ld.paired_panel(humans=3 * HUMANS, llm=5 * HUMANS, answers=1, seed=seed)
    rich = {n: np.where(f["income"] > 40, "rich", "poor") for n, f in vars(data).items() if n in
            ("humans", "beliefs")}  # fmt: skip
    weight = np.where(rich["humans"] == "rich", 1.0, heavy)
    rng = np.random.default_rng(seed)
    kept = np.flatnonzero(rng.random(len(weight)) < 1 / weight)[:HUMANS]
    everybody = data.humans.assign(w=weight, segment=rich["humans"])
    beliefs = data.beliefs.assign(segment=rich["beliefs"])
    humans = everybody.iloc[kept]
    left = set(everybody["respondent_id"]) - set(humans["respondent_id"])
    return humans, beliefs[~beliefs["respondent_id"].isin(left)], options


def clusters(seed, stores):
    """Stores of people of like income, a quarter of all stores."""
    size = HUMANS // stores
    data = ld.paired_panel(humans=4 * HUMANS, llm=5 * HUMANS, answers=1, seed=seed)
    rng = np.random.default_rng(seed)
    like = data.humans["income"] + rng.normal(0, 2, len(data.humans))
    store = like.rank(method="first").astype(int).sub(1) // size
    picked = rng.permutation(int(store.max()) + 1)[:stores]
    humans = data.humans.assign(store=store)[store.isin(picked)]
    left = set(data.humans["respondent_id"]) - set(humans["respondent_id"])
    return humans, data.beliefs[~data.beliefs["respondent_id"].isin(left)], {"psu": "store"}


def models(seed, n, count):
    """Models that each see the person through noise of their own."""
    whole = {"humans": n, "llm": 5 * n, "answers": 1, "seed": seed, "skill": 1.0}
    data = ld.paired_panel(**whole)
    odds = np.log(data.beliefs["belief"]) - np.log1p(-data.beliefs["belief"])
    rng = np.random.default_rng(seed)
    told = {f"model {k}": 1 / (1 + np.exp(-odds - rng.normal(0, 2, len(odds)))) for k in
            range(count)}  # fmt: skip
    return data.humans, data.beliefs.assign(**told), {"proxies": list(told)}


def chosen(seed, explore, pilot):
    """200 interviews of 1,500 people, by what the pilot expects of them."""
    data = ld.paired_panel(humans=1500, llm=2, answers=1, seed=100 + seed)
    own = data.beliefs["respondent_id"].isin(data.humans["respondent_id"])
    everybody = data.humans.assign(belief=data.beliefs[own]["belief"].to_numpy())
    everybody = everybody.reset_index(drop=True)
    pool = everybody.drop(columns="choice")
    choice = ld.choose_sample(pilot, pool, 200, explore=explore, seed=seed)
    asked = everybody.loc[choice.table.index].drop(columns="belief")
    probability = {"probability": choice.table["probability"]}
    return asked.assign(**probability), pool, {"probability": "probability"}


def kept(studies, reps: int) -> pd.DataFrame:
    """What each kind of study keeps."""
    truth, rows = ld.paired_panel(humans=2, llm=2).slope, {}
    for name, made in studies.items():
        found, begin = [], time.perf_counter()
        for seed in range(1, reps + 1):
            humans, beliefs, options = made(seed)
            one = ld.calibrate(
                humans, beliefs, design="equal", reps=2, prompt_chosen_on="nobody", **options
            )
            both = one.table.loc[["humans only", "calibrated"]]
            found.append([*both["estimate"], *both.loc["calibrated", ["se", "lower", "upper"]],
                          one.n_eff, one.moments.size, len(humans)])  # fmt: skip
        alone, estimate, se, lower, upper, n_eff, size, n = np.array(found, float).T
        rows[name] = {
            "humans": n.mean(),
            "units": np.median(size),
            "coverage, %": 100 * ((lower < truth) & (truth < upper)).mean(),
            "SE/SD": np.median(se) / estimate.std(),
            "n_eff said": n_eff.mean(),
            "n_eff true": n.mean() * alone.var() / estimate.var(),
            "variance": 1e4 * estimate.var(),
        }
        print(f"{name}, {reps} studies, {time.perf_counter() - begin:.0f} s", flush=True)
    return pd.DataFrame(rows).T


def parts() -> dict:
    """Studies of each part, by name."""
    data = ld.paired_panel(humans=PILOT, llm=5 * PILOT, answers=1, seed=1)
    pilot = ld.calibrate(data.humans, data.beliefs, reps=2, prompt_chosen_on="nobody")
    return {
        "surveys": {
            "weights 1 to 4": lambda s: survey(s, 4.0, weights="w"),
            "weights 1 to 10": lambda s: survey(s, 10.0, weights="w"),
            "weights 1 to 4, a lambda for each stratum": lambda s: survey(
                s, 4.0, weights="w", strata="segment"
            ),
            "raked to margins": lambda s: survey(
                s, 4.0, margins={"segment": {"rich": 0.5, "poor": 0.5}}
            ),
            "60 stores": lambda s: clusters(s, 60),
            "20 stores": lambda s: clusters(s, 20),
        },
        "proxies": {
            f"{count} models, {n} humans": lambda s, n=n, count=count: models(s, n, count)
            for n, count in ((60, 2), (200, 2), (200, 4))
        },
        "choice": {
            "chosen": lambda s: chosen(s, 0.1, pilot),
            "at random": lambda s: chosen(s, 1.0, pilot),
        },
    }


def main() -> None:
    """Print what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", default=["times"], metavar="PART")
    parser.add_argument("--reps", type=int, default=400, help="studies of each kind")
    options = parser.parse_args()
    warnings.simplefilter("ignore", ld.CalibrationWarning)
    for name in options.parts:
        if name == "times":
            times()
        else:
            print(kept(parts()[name], options.reps).round(2).to_string(), flush=True)


if __name__ == "__main__":
    main()
