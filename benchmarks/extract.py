"""How fast beliefs are extracted, and in how much memory.

    python benchmarks/extract.py            # both
    python benchmarks/extract.py --responses 1000000

Times a 21-token answer with 20 candidates each (median over repeats, side by side with
reading the same response from JSON), then makes parts of a panel of a JSONL file of responses
with one process and with several, in turn, and prints rates, their ratio and how memory grew.
"""

import argparse
import json
import math
import os
import random
import re
import resource
import shutil
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from llmdemand import Extractor, Response, Token, load_study, read_response
from llmdemand.belief.files.many import Extracting, extract_all
from llmdemand.belief.readers import to_compact

SENTENCE = (
    "Given what the two brands cost today and how much we use , I think I would rather go with"
)
WORDS = re.findall(r"\S+", SENTENCE)


def answer(rng: random.Random) -> Response:
    """Twenty words of preamble, then the pivot; every position lists 20 candidates."""
    pivot = rng.choice([" Pampers", " Huggies"])
    tokens = []
    for k, word in enumerate([*WORDS, pivot]):
        text = word if k in (0, len(WORDS)) else " " + word
        rivals = [" P", " H", " the", " a", " neither"] if k == len(WORDS) else []
        rivals = [r for r in rivals if r != text]
        names = [text, *rivals, *(f" w{k}{j}" for j in range(19 - len(rivals)))]
        weights = [rng.random() for _ in names]
        total = sum(weights) * 1.02
        listed = {n: math.log(w / total) for n, w in zip(names, weights, strict=True)}
        tokens.append(Token.of(text, listed[text], listed))
    return Response(tuple(tokens), "".join(t.data.decode() for t in tokens))


def chat(response: Response) -> dict[str, object]:
    """The same answer as Chat Completions have it, three times as long."""

    def entry(data: bytes, value: float) -> dict[str, object]:
        return {"token": data.decode(), "logprob": value, "bytes": list(data)}

    content = [
        {
            **entry(t.data, t.logprob),
            "top_logprobs": [entry(c, v) for c, v in zip(t.candidates, t.logprobs, strict=True)],
        }
        for t in response.tokens
    ]
    message = {"role": "assistant", "content": response.text}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    return {"choices": [{**choice, "logprobs": {"content": content}}], "model": "m"}


def timed(work: Callable[[Any], object], given: Sequence[Any]) -> float:
    """Seconds of this processor for each, whatever else it is busy with."""
    start = time.process_time()
    for one in given:
        work(one)
    return (time.process_time() - start) / len(given)


def per_run(repeats: int) -> None:
    rng = random.Random(1)
    responses = [answer(rng) for _ in range(500)]
    short = [json.dumps(to_compact(r)).encode() for r in responses]
    chats = [json.dumps(chat(r), separators=(",", ":")).encode() for r in responses]
    extractor = Extractor(load_study("pampers").menu)
    assert all(extractor(r).pivot_index == 20 for r in responses)
    # Nothing can be faster than finding where a response ends.
    skim = msgspec.json.Decoder(msgspec.Raw).decode
    jobs: dict[str, tuple[Callable[[Any], object], Sequence[Any]]] = {
        "extract": (extractor, responses),
        "read, short form": (read_response, short),
        "json.loads, short form": (json.loads, short),
        "read, chat": (read_response, chats),
        "skim, chat": (skim, chats),
        "json.loads, chat": (json.loads, chats),
    }
    rounds = [{name: timed(*job) for name, job in jobs.items()} for _ in range(repeats)]
    spent = {name: statistics.median(r[name] for r in rounds) for name in jobs}
    tokens = len(responses[0].tokens)
    print(f"{tokens} tokens x 20 candidates, median of {repeats} rounds over 500 responses")
    print(f"  {'extract':<22} {1e6 * spent['extract']:8.1f} us per run")
    for name, (_, given) in list(jobs.items())[1:]:
        ratio = spent[name] / spent[f"read, {name.split(', ')[1]}"]
        size = len(given[0]) / 1024
        print(f"  {name:<22} {1e6 * spent[name]:8.1f} us per run of {size:.0f} kB", end=" ")
        print(f"({ratio:.1f} x reading it, {spent[name] / spent['extract']:.1f} x extract)")


def peak() -> float:
    """Most memory that this process and the largest of its ended workers had, in MB."""
    who = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return sum(resource.getrusage(w).ru_maxrss for w in who) / 1024


def processor() -> float:
    """Seconds of this process and its ended workers."""
    return sum(
        getattr(resource.getrusage(who), kind)
        for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
        for kind in ("ru_utime", "ru_stime")
    )


def whole_file(responses: int, workers: int, form: str) -> None:
    """A panel of a file by one process and by several, in turn; and memory at a tenth of it."""
    rng, study = random.Random(2), load_study("pampers")
    write = to_compact if form == "short form" else chat
    lines = [json.dumps(write(answer(rng)), separators=(",", ":"))[1:] for _ in range(64)]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "responses.jsonl"
        spent: dict[int, list[float]] = {1: [], workers: []}
        taken: dict[int, list[float]] = {1: [], workers: []}
        memory = {}
        for count in (responses // 10, responses):
            with path.open("w") as file:
                for k in range(count):
                    raw = f'{{"id":"{k}",{lines[k % 64]}'
                    file.write(f'{{"run_id":"{k % 16}-{k // 16}","raw":{raw}}}\n')
            for _ in range(1 if count < responses else 3):
                for number in spent:
                    start, before = time.perf_counter(), processor()
                    found = extract_all(
                        path, study, Path(folder, "panel"), how=Extracting(executor=number)
                    )
                    assert found.statuses == {"ok": count} and not found.kept
                    shutil.rmtree(Path(folder, "panel"))
                    if count == responses:
                        spent[number].append(time.perf_counter() - start)
                        taken[number].append(processor() - before)
            memory[count] = peak()
        size = path.stat().st_size / 2**20
    one, several = (statistics.median(times) for times in spent.values())
    print(f"{responses} responses in {form}, {size:.0f} MB of JSONL, to parts of a panel")
    print(f"  1 process {responses / one:.0f} per second, {workers} processes", end=" ")
    print(f"{responses / several:.0f} ({one / several:.2f} x), their start included")
    each = [f"{1e6 * min(times) / responses:.0f}" for times in taken.values()]
    print(f"  microseconds of a processor for each: {' and '.join(each)}")
    few, many = memory.values()
    print(f"  peak memory of parent and a worker {few:.0f} MB at a tenth, {many:.0f} MB at all")


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--responses", type=int, default=100_000)
    parser.add_argument("--repeats", type=int, default=11)
    parser.add_argument("--workers", type=int, default=max(2, os.cpu_count() or 2))
    arguments = parser.parse_args()
    per_run(arguments.repeats)
    whole_file(arguments.responses, arguments.workers, "short form")
    whole_file(arguments.responses // 3, arguments.workers, "chat")
