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
from functools import cache
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import psutil

from llmdemand import load_study, read_panel
from llmdemand.belief.files.many import Extracting, extract_all
from llmdemand.core.cell import Cell
from llmdemand.core.shards.part import Part
from llmdemand.scale.merging import map_merge

STUDY = load_study("pampers")
CELLS = list(STUDY.cells())
FOCAL, OTHER = STUDY.menu.ids[:2]
WORDS = (
    "price quality softness habit value family week budget child morning shelf label size paper "
    "comfort store trust colour cotton night travel summer garden kitchen basket memory weekend"
).split()
FILE = 50_000  # answers


@cache
def around(token: str) -> tuple[str, str]:
    """What stands before and after the log-probability of a token in Chat Completions."""
    data = ",".join(map(str, token.encode()))
    return f'"token":"{token}","logprob":', f',"bytes":[{data}]'


def entry(token: str, value: Any, listed: list[tuple[str, Any]]) -> str:
    tops = [f"{{{(a := around(text))[0]}{v}{a[1]}}}" for text, v in listed]
    before, after = around(token)
    return f'{{{before}{value}{after},"top_logprobs":[{",".join(tops)}]}}'


def openings(rng: np.random.Generator) -> Iterator[tuple[str, str]]:
    """Seven tokens that decide nothing, with 20 candidates each, and their text."""
    others = [f" {word}{k}" for word in WORDS for k in range(19)]
    while True:
        values = -np.sort(rng.exponential(5.0, (500, 7, 20)))
        values -= np.log(np.exp(values).sum(2, keepdims=True)) + 0.01
        said, listed = rng.integers(len(WORDS), size=(500, 7)), rng.integers(19, size=(500, 7))
        for answer, words, starts in zip(values.round(8).tolist(), said, listed, strict=True):
            text, entries = "", []
            for k, (word, start, top) in enumerate(zip(words, starts, answer, strict=True)):
                token = f" {WORDS[word]}" if k else WORDS[word]
                text += token
                first = 19 * ((word + start) % len(WORDS))
                pairs = zip([token, *others[first : first + 19]], top, strict=True)
                entries.append(entry(token, top[0], list(pairs)))
            yield ",".join(entries), text


def belief(cell: Cell, rng: random.Random) -> float:
    """Of a consumer of known demand, who is not always of the same mind."""
    worth = 2.0 * math.log(cell.prices[OTHER] / cell.prices[FOCAL]) + rng.gauss(0.3, 0.8)
    return 1 / (1 + math.exp(-worth))


def answers(count: int, seed: int, truth: "Truth") -> Iterator[str]:
    """Lines of a batch output; what they say is added to the truth."""
    rng, opening = random.Random(seed), openings(np.random.default_rng(seed))
    rest = [(f" r{k}", -7.0 - k / 10) for k in range(18)]
    for k in range(count):
        cell = CELLS[k % len(CELLS)]
        p = belief(cell, rng)
        chosen = FOCAL if rng.random() < p else OTHER
        names = {a: f" {a.capitalize()}" for a in (FOCAL, OTHER)}
        listed = [(names[FOCAL], math.log(0.99 * p)), (names[OTHER], math.log(0.99 * (1 - p)))]
        said = dict(listed)[names[chosen]]
        before, words = next(opening)
        truth.runs[cell.index] += 1
        truth.chosen[cell.index] += chosen == FOCAL
        truth.beliefs[cell.index] += p
        yield (
            f'{{"custom_id":"{cell.index}-{k // len(CELLS)}","response":{{"status_code":200,"body":'
            f'{{"id":"c{k}","model":"soak","choices":[{{"index":0,"finish_reason":"stop","message":'
            f'{{"role":"assistant","content":"{words}{names[chosen]}"}},"logprobs":{{"content":['
            f"{before},{entry(names[chosen], said, listed + rest)}]}}}}],"
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
    parser.add_argument("--read", action="store_true", help="the panel that `--keep` kept, again")
    options = parser.parse_args()
    executor = options.cluster or options.workers
    with (
        (options.folder if options.read else emptied(options.folder))
        .joinpath("again.jsonl" if options.read else "soak.jsonl")
        .open("w") as file
    ):
        log = Log(file)
        if not options.read:
            made(options.folder, int(options.answers), executor, log)
        whole = proved(options.folder, executor, log)
        log.ended.set()
    if not options.keep:
        emptied(options.folder, but="soak.jsonl")
    return 0 if whole else 1


def emptied(folder: Path, but: str = "") -> Path:
    """A folder without what an earlier soak left there."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in {"raw", "panel"}:
        shutil.rmtree(folder / name, ignore_errors=True)
    for name in {"truth.json", "soak.jsonl"} - {but}:
        (folder / name).unlink(missing_ok=True)
    return folder


def made(folder: Path, count: int, executor: Any, log: Log) -> None:
    raw, panel = folder / "raw", folder / "panel"
    with log.of("write", count):
        truth = write(raw, count, log)
    told = {name: values.tolist() for name, values in vars(truth).items()}
    (folder / "truth.json").write_text(json.dumps(told | {"bytes": size(raw)}))

    def progress(done: int, total: int, runs: int) -> None:
        log.done = runs

    with log.of("extract", count):
        extract_all(
            raw / "*.jsonl", STUDY, panel, how=Extracting(executor=executor, progress=progress)
        )
    with log.of("again", count):  # nothing is to be done: what a resumed run looks at
        again = extract_all(raw / "*.jsonl", STUDY, panel, how=Extracting(executor=executor))
    assert again.kept == again.pieces


def proved(folder: Path, executor: Any, log: Log) -> bool:
    """Whether the panel says what was written, to the last run."""
    told = json.loads((folder / "truth.json").read_text())
    raw_bytes = told.pop("bytes")
    truth = Truth(**{name: np.array(values) for name, values in told.items()})
    count, panel = int(truth.runs.sum()), read_panel(folder / "panel")
    with log.of("read", count):
        found = map_merge(counted, panel.parts, executor)
    wrong = [n for n in ("runs", "chosen") if (getattr(found, n) != getattr(truth, n)).any()]
    # Of beliefs that were written with 17 digits.
    near = np.allclose(found.beliefs, truth.beliefs, rtol=1e-9)
    whole = bool(not wrong and near and len(panel) == count)
    facts = {"answers": count, "whole": whole, "differ": wrong, "raw_bytes": raw_bytes}
    log.say(**facts, panel_bytes=size(folder / "panel"))
    print(
        f"{count:,} answers, raw {raw_bytes / count:,.0f} bytes each, in the panel "
        f"{size(folder / 'panel') / count:,.0f}; all totals found: {whole}",
        flush=True,
    )
    estimated(panel, log, count)
    return whole


if __name__ == "__main__":
    sys.exit(main())
