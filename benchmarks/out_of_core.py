"""Logits of more rows than memory holds: seconds, and the most memory that was resident.

    python benchmarks/out_of_core.py /tmp/rows --rows 1e8               # writes the rows, then fits
    python benchmarks/out_of_core.py /tmp/rows --rows 1e8 --workers 2
    python benchmarks/out_of_core.py /tmp/rows --rows 1e8 --formula "bought ~ price + income"

Rows are purchases in 200 stores at 40 prices, drawn from a known logit: ``bought`` 0/1, ``price``,
``promo``, ``store``, and ``income``, which no two rows share, so that with it nothing compresses.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import time
from pathlib import Path

import numpy as np

EACH = 10_000_000  # rows of a file
GROUP = 1_000_000  # rows of a row group
TRUTH = {"const": 2.0, "price": -0.8, "promo": 0.5, "income": 0.3}


def write(folder: Path, rows: int) -> None:
    """Files of the rows that are not there yet, each from its own seed."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder.mkdir(parents=True, exist_ok=True)
    for number, start in enumerate(range(0, rows, EACH)):
        path = folder / f"{number:05}.parquet"
        if path.exists():
            continue
        n, rng = min(EACH, rows - start), np.random.default_rng([1, number])
        place = rng.integers(40, size=n, dtype=np.int8)
        promo = rng.random(n, np.float32) < 0.2
        income = rng.standard_normal(n, np.float32)
        shop = rng.integers(200, size=n, dtype=np.int16)
        price = (1 + place / 10).astype(np.float32).round(1)
        eta = TRUTH["const"] + TRUTH["price"] * price + TRUTH["promo"] * promo
        eta += TRUTH["income"] * income
        bought = rng.random(n, np.float32) < 1 / (1 + np.exp(-eta))
        columns = {"bought": bought, "price": np.int16(100) + place.astype(np.int16) * 10}
        columns |= {"promo": promo, "store": shop, "income": income}
        unfinished = path.with_suffix(".unfinished")
        pq.write_table(
            pa.table(columns),
            unfinished,
            row_group_size=GROUP,
            compression="zstd",
            use_dictionary=["price", "store"],
        )
        unfinished.replace(path)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rows", type=float, default=1e8)
    parser.add_argument("--formula", default="bought ~ price + promo")
    parser.add_argument("--workers", default=None)
    parser.add_argument("--write-only", action="store_true")
    asked = parser.parse_args()
    began = time.perf_counter()
    write(asked.folder, int(asked.rows))
    written = time.perf_counter() - began
    if asked.write_only:
        return
    import llmdemand as ld

    files = sorted(asked.folder.glob("*.parquet"))[: -(-int(asked.rows) // EACH)]
    workers = int(asked.workers) if (asked.workers or "").isdecimal() else asked.workers
    began = time.perf_counter()
    fit = ld.logit(asked.formula, files, vcov={"CRV1": "store"}, executor=workers)
    seconds = time.perf_counter() - began
    kb = 1 if sys.platform != "darwin" else 1024
    most = {
        who: resource.getrusage(of).ru_maxrss / kb / 1024
        for who, of in (("self", resource.RUSAGE_SELF), ("worker", resource.RUSAGE_CHILDREN))
    }
    found = {"rows": fit.nobs, "seconds": round(seconds, 1), "written_in": round(written, 1)}
    found |= {"rows_a_second": round(fit.nobs / seconds), "workers": workers or 1}
    found |= {"most_MB": {who: round(mb) for who, mb in most.items()}}
    found |= {"terms": {t: [fit.params[t], fit.bse[t]] for t in fit.params.index}}
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
