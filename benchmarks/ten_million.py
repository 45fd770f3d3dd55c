r"""What ten million answers cost, from rates measured side by side in one run.

    python benchmarks/ten_million.py                   # at 10^3, 10^4, 10^5: minutes
    python benchmarks/ten_million.py --most 1e6        # an hour, 7 GB of disk
    python benchmarks/ten_million.py --page docs/ten-million.md \
        --figure data/figures/ten-million.png

Answers are those of `benchmarks/soak.py`: 8 tokens with 20 candidates each. Time is that of the
processor, which does not depend on what else the machine does; memory the most that a process of
its own ever held. What is printed for ten million is the rate at the largest number, and how that
rate changed over the last factor of ten; tokens and their prices are those of the study's prompt
and of `data/prices.toml`.
"""

import argparse
import contextlib
import io
import json
import multiprocessing
import resource
import shutil
import tempfile
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib
import zstandard
from soak import STUDY, Log, counted, size, write

from llmdemand import fit_demand, read_panel
from llmdemand.belief.files.many import extract_all
from llmdemand.scale.merging import map_merge
from llmdemand.simulation.cost import known_prices, prompt_range
from llmdemand.simulation.storing.records import Source, Stored
from llmdemand.simulation.storing.store import Store

ALL = 10_000_000
TOKENS = 8  # that an answer has
MODELS = ("gpt-4.1-nano", "gpt-4o-mini", "gpt-4o")
MARK = "<!-- measured by benchmarks/ten_million.py -->"

Rates = dict[str, float]


def work(name: str, folder: Path, count: int) -> Rates:
    """One job, in a process that does nothing else: seconds of a processor, and megabytes."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_work, args=(name, folder, count, there))
    process.start()
    there.close()
    try:
        found: Rates = here.recv()
    except EOFError:
        raise SystemExit(f"{name} ended by itself") from None
    process.join()
    return found


def _work(name: str, folder: Path, count: int, to: Any) -> None:
    job = JOBS[name]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    start = time.process_time()
    more = job(folder, count) or {}
    spent = time.process_time() - start
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    to.send({"seconds": spent, "memory": most, "start": before, **more})


def written(folder: Path, count: int) -> Rates:
    log = Log(io.StringIO())
    write(folder / "raw", count, log)
    log.ended.set()
    return {"bytes": size(folder / "raw") / count}


def packed(folder: Path, count: int) -> Rates:
    """Bytes of an answer, a file at a time, as people compress them."""
    with (folder / "raw" / "00000.jsonl").open("rb") as file:
        lines = file.readlines(8_000_000)
    data = b"".join(lines)
    found = {
        "gzip": len(zlib.compress(data, 6)),
        "zstd": len(zstandard.ZstdCompressor(3).compress(data)),
    }
    return {name: n / len(lines) for name, n in found.items()}


def extracted(folder: Path, count: int) -> Rates:
    made = extract_all(folder / "raw" / "*.jsonl", STUDY, folder / "panel")
    assert len(made.panel) == count
    return {"bytes": size(folder / "panel") / count}


def taken_up(folder: Path, count: int) -> None:
    made = extract_all(folder / "raw" / "*.jsonl", STUDY, folder / "panel")
    assert made.kept == made.pieces


def summed(folder: Path, count: int) -> None:
    panel = read_panel(folder / "panel")
    assert map_merge(counted, panel.parts).runs.sum() == count


def fitted(folder: Path, count: int) -> None:
    fit_demand(read_panel(folder / "panel"), "belief")


def stored(folder: Path, count: int) -> Rates:
    source = Source("openai", "soak", "{}", True)
    with contextlib.closing(Store(folder / "store.sqlite")) as store:
        for path in sorted((folder / "raw").iterdir()):
            with path.open("rb") as file:
                for k, line in enumerate(file):
                    store.put_soon(source, one(k, line))
    return {"bytes": size_of(folder / "store.sqlite") / count}


def one(number: int, line: bytes) -> Stored:
    told = json.loads(line)
    run = told["custom_id"]
    known = {"prompt_tokens": 70.0, "completion_tokens": float(TOKENS), "usd": 0.0, "created": 0.0}
    return Stored(f"{run:0>64}", 20, run, STUDY.hash, told["response"]["body"], run, "", **known)


def size_of(path: Path) -> int:
    return sum(p.stat().st_size for p in path.parent.glob(f"{path.name}*"))


JOBS: dict[str, Callable[[Path, int], Rates | None]] = {
    "write": written,
    "pack": packed,
    "store": stored,
    "extract": extracted,
    "take up": taken_up,
    "read": summed,
    "fit": fitted,
}

WORDS = {
    "store": "store: kept as answers come",
    "extract": "extract: raw files to parts of a panel",
    "take up": "take up: what a repeated extract looks at",
    "read": "read: every part, checked",
    "fit": "fit: logit of beliefs",
}


def measured(counts: list[int]) -> dict[int, dict[str, Rates]]:
    found: dict[int, dict[str, Rates]] = {}
    for count in counts:
        with tempfile.TemporaryDirectory() as folder:
            found[count] = {name: work(name, Path(folder), count) for name in JOBS}
            shutil.rmtree(Path(folder, "raw"))
        for name, rates in found[count].items():
            told = ", ".join(f"{key} {value:,.4g}" for key, value in rates.items())
            print(f"{count:>9,} {name:<8} {told or 'not in this version'}", flush=True)
    return found


def table(found: dict[int, dict[str, Rates]]) -> str:
    """The page's tables, as markdown."""
    counts = sorted(found)
    last = found[counts[-1]]
    before = found[counts[-2]]
    raw = last["write"]["bytes"]
    lines = [
        "| an answer of 8 tokens with 20 candidates | bytes | ten million |",
        "| --- | --- | --- |",
    ]
    sizes = {"raw, as a server sends it (JSON)": raw}
    sizes |= {"gzip -6, whole files": last["pack"]["gzip"]}
    sizes |= {"zstd -3, whole files": last["pack"]["zstd"]}
    if last["store"]:
        sizes["in the response store, each to be had by itself"] = last["store"]["bytes"]
    sizes["its row in the panel"] = last["extract"]["bytes"]
    lines += [f"| {n} | {b:,.0f} | {b * ALL / 1e9:,.1f} GB |" for n, b in sizes.items()]
    lines += ["", "| work of one core | answers a second | the same at a tenth | ten million |"]
    lines[-1] += " memory, a process | memory at a tenth |"
    lines += ["| --- | --- | --- | --- | --- | --- |"]
    for name, words in WORDS.items():
        if not last[name]:
            lines.append(f"| {words} | not measured | | | | |")
            continue
        rate, tenth = counts[-1] / last[name]["seconds"], counts[-2] / before[name]["seconds"]
        hours = ALL / rate / 3600
        lines.append(
            f"| {words} | {rate:,.0f} | {tenth:,.0f} | {hours:.2g} core hours | "
            f"{last[name]['memory']:,.0f} MB | {before[name]['memory']:,.0f} MB |"
        )
    lines += ["", "| tokens of ten million answers, asked one by one | at list prices |"]
    lines += ["| --- | --- |"]
    shown = STUDY.cells()[0]
    prompt = sum(len(text.encode()) for text in STUDY.prompt(shown, STUDY.order(shown, 0)))
    low, high = prompt_range(prompt)
    for model in MODELS:
        prices = known_prices(model)
        assert prices is not None
        least_usd, most_usd = (prices.usd(ALL * p, ALL * TOKENS) for p in (low, high))
        lines.append(f"| {model} | ${least_usd:,.0f} to ${most_usd:,.0f} |")
    lines += [
        "",
        f"Measured at {', '.join(f'{n:,}' for n in counts)} answers; a prompt of {prompt} bytes.",
    ]
    return "\n".join(lines)


def figure(found: dict[int, dict[str, Rates]], path: Path) -> None:
    """Core hours and memory by the number of answers."""
    matplotlib.use("Agg")
    from matplotlib.figure import Figure

    from llmdemand.reporting.figures.style import GUIDE, finish

    shape = Figure(figsize=(9, 3.6), layout="constrained")
    left, right = shape.subplots(1, 2)
    counts = sorted(found)
    marks = dict(zip(WORDS, "osD^v", strict=True))
    colours = dict(zip(WORDS, ("#CC79A7", "#0072B2", "#009E73", "#D55E00", "#000000"), strict=True))
    for name in WORDS:
        had = [n for n in counts if found[n][name]]
        if not had:
            continue
        seconds = [found[n][name]["seconds"] for n in had]
        style = {"color": colours[name], "marker": marks[name], "label": name}
        left.loglog(had, seconds, **style)
        left.loglog(
            [had[-1], ALL], [seconds[-1], seconds[-1] * ALL / had[-1]], ":", color=colours[name]
        )
        right.semilogx(had, [found[n][name]["memory"] for n in had], **style)
    right.set_ylim(0, 1.1 * right.get_ylim()[1])
    left.axvline(ALL, color=GUIDE, lw=0.8)
    finish(left, title="Time", x="answers", y="seconds of one core", columns=3)
    finish(right, title="Memory", x="answers", y="megabytes of a process", columns=3)
    shape.savefig(path, dpi=150)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--most", type=float, default=1e5)
    parser.add_argument("--page", type=Path, help="page whose tables are written anew")
    parser.add_argument("--figure", type=Path)
    parser.add_argument(
        "--json", type=Path, help="file of rates: read if it is there, else written"
    )
    options = parser.parse_args()
    if options.json and options.json.exists():
        found = {int(k): v for k, v in json.loads(options.json.read_text()).items()}
    else:
        counts = [int(options.most) // 10**k for k in (2, 1, 0)]
        found = measured(counts)
        if options.json:
            options.json.write_text(json.dumps(found))
    text = table(found)
    print(text)
    if options.page:
        before, _, rest = options.page.read_text("utf-8").partition(MARK)
        _, _, after = rest.partition(MARK)
        options.page.write_text(f"{before}{MARK}\n\n{text}\n\n{MARK}{after}", "utf-8")
    if options.figure:
        figure(found, options.figure)


if __name__ == "__main__":
    main()
