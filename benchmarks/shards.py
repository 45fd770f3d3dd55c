"""What is said of a panel in shards: seconds and peak memory, by the number of runs.

    python benchmarks/shards.py 100000 1000000

Each measure runs in a process of its own, whose peak resident memory is reported. Runs are those of
a synthetic consumer, repeated with other names and slightly other beliefs.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

import llmdemand as ld
from llmdemand.core.shards.part import part_name
from llmdemand.core.shards.shards import PanelShards

PART = 16_000
MEASURES = ("audit", "precision", "runs_needed", "prediction", "fit_demand", "compare")


def made(folder: Path, runs: int) -> None:
    """A panel of so many runs, in parts."""
    panel = ld.simulate(ld.load_study("pampers"), "synthetic", runs=PART // 16, seed=1)
    parts, rng, frame = runs // PART, np.random.default_rng(1), panel.frame
    columns = [f"belief_{a}" for a in panel.study.menu.ids]
    for k in range(parts):
        replicate = frame["replicate"] + k * (PART // 16)
        beliefs = frame[columns].to_numpy() * rng.uniform(0.9, 1.1, (len(frame), len(columns)))
        beliefs /= beliefs.sum(axis=1, keepdims=True)
        part = frame.assign(
            replicate=replicate,
            run_id=frame["cell"].astype(str) + "-" + replicate.astype(str),
            **dict(zip(columns, beliefs.T, strict=True)),
        )
        replace(panel, frame=part).write(folder / part_name(k + 1, parts))


def measured(folder: str, name: str) -> None:
    """One measure, in a process of its own."""
    shards, start = PanelShards.open(folder), time.perf_counter()
    if name == "nothing":
        len(shards)
    else:
        getattr(ld, name)(shards)
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{len(shards):>10,} runs  {name:<12} {seconds:8.1f} s  {peak:8.0f} MB")


def main(sizes: list[int]) -> None:
    """All measures for all sizes."""
    for runs in sizes:
        with tempfile.TemporaryDirectory() as folder:
            made(Path(folder), runs)
            for name in ("nothing", *MEASURES):
                subprocess.run([sys.executable, __file__, folder, name], check=True)


if __name__ == "__main__":
    if len(sys.argv) == 3 and Path(sys.argv[1]).is_dir():
        measured(sys.argv[1], sys.argv[2])
    else:
        main([int(n) for n in sys.argv[1:]] or [100_000, 1_000_000])
