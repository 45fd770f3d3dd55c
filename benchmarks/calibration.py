"""Times of calibration: python benchmarks/calibration.py."""

from __future__ import annotations

import time
from statistics import median

import llmdemand as ld


def seconds(run, times: int = 5) -> float:
    """Median time of a call, after one to warm up."""
    run()
    found = []
    for _ in range(times):
        begin = time.perf_counter()
        run()
        found.append(time.perf_counter() - begin)
    return median(found)


def main() -> None:
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


if __name__ == "__main__":
    main()
