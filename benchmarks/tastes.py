"""How many runs the spread of price sensitivity needs, and how far off `tastes` is; known truth.

    python benchmarks/tastes.py                          # both tables of docs/tastes.md: minutes
    python benchmarks/tastes.py --people 60 --runs 10    # smaller

Everything is seeded. The consumer is the synthetic one; its respondents differ by the slope.
"""

import argparse

import numpy as np
import pandas as pd

import llmdemand as ld


def asked(people, runs, *, icc, spread, prices=None, seed=1):
    """A panel of respondents with slopes of their own, and the mean and spread of these."""
    table = pd.DataFrame({"respondent_id": [f"r{k:03d}" for k in range(people)]})
    study = ld.load_study("pampers").with_respondents(table)
    backend = ld.SyntheticBackend(
        study, icc=icc, persona_slope_sd=spread, persona_sd=1.5, persona_seed=seed
    )
    slopes = [backend.consumer.parameters(k)[0] for k in table["respondent_id"]]
    panel = ld.simulate(study, backend, runs=runs, seed=seed)
    if prices is not None:
        panel = ld.Panel(panel.frame[panel.frame["price_pampers"].isin(prices)], panel.study)
    return panel, float(np.mean(slopes)), float(np.std(slopes, ddof=1))


def off(people, seeds):
    """Spread found as a share of the true one, by noise and outcome; one run at 8 prices."""
    prices, rows = range(31, 46, 2), []
    for icc in (0.01, 0.054, 0.2, 0.33):
        ratios = {"belief": [], "choice": []}
        for seed in range(seeds):
            panel, mean, spread = asked(people, 1, icc=icc, spread=0.15, prices=prices, seed=seed)
            for outcome, found in ratios.items():
                row = ld.tastes(panel, outcome=outcome).table.loc["price"]
                found.append([row["mean"] / mean, row["sd"] / spread, row["reliability"]])
        for outcome, found in ratios.items():
            mean, spread, reliable = np.mean(found, axis=0)
            rows.append(
                {
                    "icc": icc,
                    "outcome": outcome,
                    "mean / truth": mean,
                    "spread / truth": spread,
                    "sd of it": np.std(found, axis=0, ddof=1)[1],
                    "reliability": reliable,
                }
            )
    return pd.DataFrame(rows)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--people", type=int, default=100)
    parser.add_argument("--runs", type=int, default=30)
    parser.add_argument("--draws", type=int, default=100)
    parser.add_argument("--seeds", type=int, default=6)
    options = parser.parse_args()
    panel, _, truth = asked(options.people, options.runs, icc=0.054, spread=0.15)
    print(ld.spread_needed(panel, truth=truth, replications=options.draws))
    print()
    print(
        off(2 * options.people, options.seeds).to_string(index=False, float_format="{:.2f}".format)
    )


if __name__ == "__main__":
    main()
