"""Precision, runs needed and plans, timed on the known-truth consumer.

    python benchmarks/reporting.py                      # 16 prices x 100 runs, 1,000 draws
    python benchmarks/reporting.py --runs 300 --truth   # and runs needed beside the published

Times depend on the machine; the goal is 20 s on two cores for precision and runs needed.
"""

import argparse
import time

import numpy as np
from rich.console import Console
from rich.table import Table

from llmdemand import load_study, simulate
from llmdemand.reporting.measures.needed import runs_needed
from llmdemand.reporting.measures.plan import plan
from llmdemand.reporting.measures.precision import PUBLISHED, precision

TARGETS = ("price", "elasticity", "wtp", "share")


def seconds(work):
    begun = time.perf_counter()
    found = work()
    return time.perf_counter() - begun, found


def times(panel, replications, table):
    spent, found = seconds(lambda: precision(panel, replications=replications))
    fits = 2 * replications * len(found.draws.tried)
    table.add_row("precision", f"{spent:.2f} s", f"{fits:,} fits, {fits / spent:,.0f} a second")
    spent, _ = seconds(lambda: [runs_needed(panel, target=t, draws=found.draws) for t in TARGETS])
    table.add_row("runs needed, 4 targets, same draws", f"{spent:.2f} s", "")
    spent, _ = seconds(lambda: runs_needed(panel, replications=replications))
    table.add_row("runs needed, draws of its own", f"{spent:.2f} s", "")
    for tolerance in (0.05, 0.005):
        spent, planned = seconds(lambda t=tolerance: plan(panel, t, outcome="choice"))
        total = planned.totals.loc["choice"]
        note = f"{total['answers']:,.0f} answers, equal runs {total['uniform_answers']:,.0f}"
        table.add_row(f"plan, choice, {100 * tolerance:g} %", f"{spent:.2f} s", note)


def truth(runs, replications, pools, table):
    """Runs needed from several pools, mean and standard error."""
    found = []
    for seed in range(1, pools + 1):
        panel = simulate(load_study("pampers"), "synthetic", runs=runs, seed=seed)
        found.append(runs_needed(panel, replications=replications, seed=seed).table)
    for outcome, (_, published) in PUBLISHED.items():
        for column in ("runs", "closed_form"):
            values = np.array([t.loc[outcome, column] for t in found])
            error = values.std(ddof=1) / np.sqrt(pools)
            table.add_row(
                f"{outcome}, {column}", f"{values.mean():.1f} (SE {error:.1f})", f"{published}"
            )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--replications", type=int, default=1000)
    parser.add_argument("--truth", action="store_true", help="runs needed from several pools")
    parser.add_argument("--pools", type=int, default=8)
    chosen = parser.parse_args()
    panel = simulate(load_study("pampers"), "synthetic", runs=chosen.runs, seed=1)
    table = Table("what", "measured", "note")
    times(panel, chosen.replications, table)
    Console(width=110).print(table)
    if chosen.truth:
        table = Table("runs needed", f"mean of {chosen.pools} pools", "published")
        truth(chosen.runs, chosen.replications, chosen.pools, table)
        Console(width=110).print(table)


if __name__ == "__main__":
    main()
