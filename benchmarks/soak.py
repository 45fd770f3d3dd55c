"""Many synthetic answers end to end: raw files, extraction into parts, a panel, what it says.

    python benchmarks/soak.py --answers 1e5                 # some minutes on two cores
    python benchmarks/soak.py --answers 1e6 --workers 2     # 7 GB of raw answers
    python benchmarks/soak.py --answers 1e6 --cluster tcp://127.0.0.1:8786

Raw answers are Chat Completions of 8 tokens with 20 candidates each, 7 kB, as a consumer of known
demand gives them. What was written is counted as it is written, by cell; what is read at the end
must be the same: runs, choices, and the sums of beliefs. Rates and memory (this process and its
children, each second) go to `soak.jsonl` in the folder, line by line; a line of the end says
whether all was found. Raw files are gone at the end unless `--keep`.
"""

import argparse
import json
import math
import random
import shutil
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import psutil

from llmdemand import load_study, read_panel
from llmdemand.belief.files.many import extract_all
from llmdemand.core.cell import Cell
from llmdemand.core.shards.part import Part
from llmdemand.scale.merging import map_merge

STUDY = load_study("pampers")
CELLS = list(STUDY.cells())
FOCAL, OTHER = STUDY.menu.ids[:2]
WORDS = ["Given", " what", " both", " cost", " now", " I'd", " buy"]
FILE = 50_000  # answers


def entry(token: str, value: float, listed: list[tuple[str, float]]) -> dict[str, Any]:
    def one(text: str, logprob: float) -> dict[str, Any]:
        return {"token": text, "logprob": logprob, "bytes": list(text.encode())}

    return {**one(token, value), "top_logprobs": [one(*pair) for pair in listed]}


def opening(rng: random.Random) -> str:
    """Seven tokens that decide nothing, with 20 candidates each, as JSON."""
    entries = []
    for word in WORDS:
        others = ((f" w{k}", round(-2 - rng.random(), 5)) for k in range(19))
        listed = [(word, round(-rng.random(), 5)), *others]
        entries.append(entry(word, listed[0][1], listed))
    return json.dumps(entries, separators=(",", ":"))[1:-1]


def belief(cell: Cell, rng: random.Random) -> float:
    """Of a consumer of known demand, who is not always of the same mind."""
    worth = 2.0 * math.log(cell.prices[OTHER] / cell.prices[FOCAL]) + rng.gauss(0.3, 0.8)
    return 1 / (1 + math.exp(-worth))


def answers(count: int, seed: int, truth: "Truth") -> Iterator[str]:
    """Lines of a batch output; what they say is added to the truth."""
    rng = random.Random(seed)
    cells, openings = CELLS, [opening(rng) for _ in range(256)]
    rest = [(f" r{k}", -7.0 - k / 10) for k in range(18)]
    for k in range(count):
        cell = cells[k % len(cells)]
        p = belief(cell, rng)
        chosen = FOCAL if rng.random() < p else OTHER
        names = {a: f" {a.capitalize()}" for a in (FOCAL, OTHER)}
        listed = [(names[FOCAL], math.log(0.99 * p)), (names[OTHER], math.log(0.99 * (1 - p)))]
        said = dict(listed)[names[chosen]]
        pivot = json.dumps(entry(names[chosen], said, listed + rest), separators=(",", ":"))
        text = json.dumps("".join(WORDS) + names[chosen])
        truth.runs[cell.index] += 1
        truth.chosen[cell.index] += chosen == FOCAL
        truth.beliefs[cell.index] += p
        yield (
            f'{{"custom_id":"{cell.index}-{k // len(cells)}","response":{{"status_code":200,"body":'
            f'{{"id":"c{k}","model":"soak","choices":[{{"index":0,"finish_reason":"stop","message":'
            f'{{"role":"assistant","content":{text}}},"logprobs":{{"content":['
            f"{openings[k % 256]},{pivot}]}}}}],"
            f'"usage":{{"prompt_tokens":70,"completion_tokens":8}}}}}}}}\n'
        )


@dataclass
class Truth:
    """By cell: runs, choices of the focal alternative, sum of beliefs in it."""

    runs: np.ndarray = field(default_factory=lambda: np.zeros(len(CELLS), np.int64))
    chosen: np.ndarray = field(default_factory=lambda: np.zeros(len(CELLS), np.int64))
    beliefs: np.ndarray = field(default_factory=lambda: np.zeros(len(CELLS)))

    def __add__(self, other: "Truth") -> "Truth":
        sums = (getattr(self, n) + getattr(other, n) for n in ("runs", "chosen", "beliefs"))
        return Truth(*sums)


def counted(part: Part) -> Truth:
    """What a part of the panel says, as it is read back and checked."""
    frame = part.panel().frame
    of = frame["cell"].to_numpy(np.int64)
    found = [np.ones(len(frame)), frame["choice"] == FOCAL, frame[f"belief_{FOCAL}"]]
    runs, chosen, beliefs = (
        np.bincount(of, np.asarray(v, float), minlength=len(CELLS)) for v in found
    )
    return Truth(runs.astype(np.int64), chosen.astype(np.int64), beliefs)


def memory() -> int:
    """Megabytes of this process and its children."""
    own = psutil.Process()
    total = own.memory_info().rss
    for child in own.children(recursive=True):
        try:
            total += child.memory_info().rss
        except psutil.Error:
            continue
    return total >> 20


class Log:
    """A line a second of what is under way, and of what each stage took."""

    def __init__(self, file: TextIO) -> None:
        self.file, self.stage, self.done, self.ended = file, "", 0, threading.Event()
        self.lock, self.seen = threading.Lock(), {}
        self.thread = threading.Thread(target=self._watch, daemon=True)
        self.thread.start()

    def say(self, **facts: Any) -> None:
        with self.lock:
            self.file.write(json.dumps({"time": round(time.time(), 1), **facts}) + "\n")
            self.file.flush()

    def _watch(self) -> None:
        while not self.ended.wait(1):
            now = memory()
            self.seen.setdefault(self.stage, []).append(now)
            self.say(stage=self.stage, done=self.done, rss=now)

    @contextmanager
    def of(self, stage: str, count: int) -> Iterator[None]:
        self.stage, self.done, start = stage, 0, time.perf_counter()
        yield
        seconds, seen = time.perf_counter() - start, self.seen.get(stage) or [memory()]
        half = max(len(seen) // 2, 1)
        facts = {"seconds": round(seconds, 1), "rate": round(count / seconds)}
        facts |= {"most_rss_first_half": max(seen[:half]), "most_rss": max(seen)}
        self.say(ended=stage, **facts)
        print(
            f"{stage:<10} {seconds:8.1f} s {count / seconds:10,.0f} a second, memory at most "
            f"{facts['most_rss']} MB ({facts['most_rss_first_half']} in its first half)",
            flush=True,
        )


def write(folder: Path, count: int, log: Log) -> Truth:
    folder.mkdir(parents=True, exist_ok=True)
    truth, lines = Truth(), None
    lines = answers(count, 1, truth)
    for number in range(math.ceil(count / FILE)):
        with (folder / f"{number:05}.jsonl").open("w") as file:
            for _, line in zip(range(FILE), lines, strict=False):
                file.write(line)
                log.done += 1
    return truth


def size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def estimated(panel: Any, log: Log, count: int) -> dict[str, Any]:
    """Demand and audit, where they take a folder of parts."""
    from llmdemand import audit, fit_demand

    found: dict[str, Any] = {}
    for name, work in {"fit": lambda: fit_demand(panel), "audit": lambda: audit(panel)}.items():
        try:
            with log.of(name, count):
                found[name] = work()
        except (AttributeError, TypeError) as error:
            log.say(skipped=name, error=str(error))
            print(f"{name:<10} does not take a folder of parts: {error}", flush=True)
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--answers", type=float, default=1e5)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--cluster")
    parser.add_argument("--folder", type=Path, default=Path("soak"))
    parser.add_argument("--keep", action="store_true")
    options = parser.parse_args()
    count, folder = int(options.answers), options.folder
    raw, panel = folder / "raw", folder / "panel"
    for old in (raw, panel):
        shutil.rmtree(old, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "soak.jsonl").open("w") as file:
        log = Log(file)
        with log.of("write", count):
            truth = write(raw, count, log)
        executor = options.cluster or options.workers

        def progress(done: int, total: int, runs: int) -> None:
            log.done = runs

        with log.of("extract", count):
            made = extract_all(raw / "*.jsonl", STUDY, panel, executor=executor, progress=progress)
        with log.of("again", count):  # nothing is to be done: what a resumed run looks at
            again = extract_all(raw / "*.jsonl", STUDY, panel, executor=executor)
        assert again.kept == again.pieces
        shards = read_panel(panel)
        with log.of("read", count):
            found = map_merge(counted, shards.parts, executor)
        estimated(shards, log, count)
        wrong = [n for n in ("runs", "chosen") if (getattr(found, n) != getattr(truth, n)).any()]
        # Of beliefs that were written with 17 digits.
        near = np.allclose(found.beliefs, truth.beliefs, rtol=1e-9)
        whole = not wrong and near and found.runs.sum() == count == len(made.panel)
        facts = {
            "answers": count,
            "whole": bool(whole),
            "differ": wrong,
            "parts": len(made.panel.parts),
        }
        facts |= {"raw_bytes": size(raw), "panel_bytes": size(panel)}
        log.say(**facts)
        log.ended.set()
    print(
        f"{count:,} answers, raw {facts['raw_bytes'] / count:,.0f} bytes each, in the panel "
        f"{facts['panel_bytes'] / count:,.0f}; all totals found: {whole}"
    )
    if not options.keep:
        shutil.rmtree(raw)
        shutil.rmtree(panel)
    return 0 if whole else 1


if __name__ == "__main__":
    sys.exit(main())
