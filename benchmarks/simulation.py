"""Simulation, measured side by side in one run.

    python benchmarks/simulation.py                 # everything, about ten minutes on two cores
    python benchmarks/simulation.py runner store    # of: runner http memory store synthetic local
    python benchmarks/simulation.py local --every 1 # the baseline on all 320 runs, not a sample

Nothing here is asserted: times depend on the machine, ratios are what is read.
"""

import argparse
import asyncio
import hashlib
import json
import math
import multiprocessing
import os
import random
import resource
import sqlite3
import struct
import tempfile
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from llmdemand import Study, load_study, simulate
from llmdemand.belief.readers import read_response
from llmdemand.simulation.backend import Traits
from llmdemand.simulation.backends.openai import OpenAIBackend
from llmdemand.simulation.requests import requests
from llmdemand.simulation.storing.records import Source, Stored
from llmdemand.simulation.storing.store import Store

STUDY = load_study("pampers")
LISTED = {" Pampers": -0.4, " Huggies": -1.3, "I": -5.0, "The": -6.0}


def completion():
    def entry(token, value, listed):
        return {
            "token": token,
            "logprob": value,
            "bytes": list(token.encode()),
            "top_logprobs": [
                {"token": c, "logprob": v, "bytes": list(c.encode())} for c, v in listed.items()
            ],
        }

    return {
        "id": "chatcmpl-1",
        "model": "fake",
        "choices": [
            {
                "index": 0,
                "finish_reason": "stop",
                "message": {"role": "assistant", "content": " Pampers"},
                "logprobs": {"content": [entry(" Pampers", -0.4, LISTED)]},
            }
        ],
        "usage": {"prompt_tokens": 70, "completion_tokens": 1},
    }


class Instant:
    """Answers at once: what is left is the runner."""

    name, model, settings, raw_logprobs = "instant", "m", {}, True
    traits = Traits(concurrency=1000)

    def __init__(self, latency=0.0):
        self._raw, self._latency = completion(), latency

    async def complete(self, asked):
        await asyncio.sleep(self._latency)
        for _ in asked:
            yield self._raw

    def parse(self, raw):
        return read_response(raw)

    async def close(self):
        pass


def serve(port, latency):
    """A server that says the same to everybody, as fast as Python can."""
    body = json.dumps(completion()).encode()
    head = (
        f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    answer = head.encode() + body

    class Protocol(asyncio.Protocol):
        def connection_made(self, transport):
            self.transport, self.buffer = transport, b""

        def data_received(self, data):
            self.buffer += data
            while (end := self.buffer.find(b"\r\n\r\n")) >= 0:
                low = self.buffer[:end].lower()
                length = int(low.split(b"content-length:")[1].split(b"\r\n")[0])
                if len(self.buffer) < end + 4 + length:
                    return
                self.buffer = self.buffer[end + 4 + length :]
                asyncio.get_running_loop().call_later(latency, self.transport.write, answer)

    async def main():
        server = await asyncio.get_running_loop().create_server(
            Protocol, "127.0.0.1", 0, backlog=2000
        )
        port.value = server.sockets[0].getsockname()[1]
        await server.serve_forever()

    asyncio.run(main())


def runner():
    print("runner alone: 1,000 calls in flight, answers after 0.1 s, store on disk")
    for runs in (600, 1200):
        begun = time.perf_counter()
        panel = simulate(STUDY, Instant(0.1), runs=runs, seed=1, concurrency=1000)
        seconds = time.perf_counter() - begun
        print(f"  {len(panel):>7,} answers: {len(panel) / seconds:,.0f} per second")


def http():
    print("through the openai client: 1,000 calls in flight, a server process on the other core")
    port = multiprocessing.Value("i", 0)
    server = multiprocessing.Process(target=serve, args=(port, 0.05), daemon=True)
    server.start()
    while not port.value:
        time.sleep(0.05)
    url = f"http://127.0.0.1:{port.value}/v1"
    try:
        with tempfile.TemporaryDirectory() as folder:
            for concurrency in (1, 32, 1000):
                runs = 20 if concurrency == 1 else 400
                backend = OpenAIBackend("fake", base_url=url)
                begun = time.perf_counter()
                panel = simulate(
                    STUDY,
                    backend,
                    runs=runs,
                    seed=concurrency,
                    store=Path(folder, f"{concurrency}.sqlite"),
                    concurrency=concurrency,
                    probe=False,
                )
                seconds = time.perf_counter() - begun
                rate = len(panel) / seconds
                print(f"  {concurrency:>5} in flight: {rate:,.0f} per second")
    finally:
        server.terminate()
        server.join()


def memory(total):
    print(f"memory while {total:,} answers arrive (panel rows included)")
    # One process per size: the peak of a process never falls.
    for size in (total // 10, total):
        found = multiprocessing.Queue()
        child = multiprocessing.Process(target=_peak, args=(size // 16, found))
        child.start()
        rows, before, peak = found.get()
        child.join()
        print(
            f"  {rows:>9,} answers: {peak - before:,.0f} MB above the start, "
            f"{(peak - before) * 1e6 / rows:,.0f} bytes per answer"
        )


def _peak(runs, found):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    panel = simulate(STUDY, Instant(), runs=runs, seed=1, concurrency=1000)
    found.put((len(panel), before, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024))


def listed(k, positions=8, candidates=20):
    """An answer of a server whose log-probabilities are 32-bit floats."""
    chance, content = random.Random(k), []
    for position in range(positions):
        likely = [f" word{n}" for n in random.Random(position).sample(range(60), 40)]
        scores = [chance.gauss(-0.5 * rank, 1.2) for rank in range(40)]
        whole = math.log(sum(map(math.exp, scores)))
        kept = sorted(zip(scores, likely, strict=True), reverse=True)[:candidates]
        top = [
            {
                "token": word,
                "logprob": struct.unpack("f", struct.pack("f", score - whole))[0],
                "bytes": list(word.encode()),
            }
            for score, word in kept
        ]
        content.append({**top[0], "top_logprobs": top})
    raw = completion()
    raw["choices"][0]["logprobs"] = {"content": content}
    return {**raw, "id": f"chatcmpl-{k:032x}"}


def earlier(folder, rows):
    """What stores were until version 2: zlib of JSON, a transaction and a row each."""
    db = sqlite3.connect(Path(folder, "earlier.sqlite"), isolation_level=None)
    db.execute("PRAGMA journal_mode=WAL")
    db.execute("PRAGMA synchronous=NORMAL")
    db.execute(
        "CREATE TABLE responses (key TEXT, top INTEGER, study TEXT, run_id TEXT, raw BLOB, "
        "content TEXT, shown TEXT, PRIMARY KEY (key, top)) WITHOUT ROWID"
    )
    for row in rows:
        text = json.dumps(row.raw, separators=(",", ":"))
        values = (row.key, row.top_logprobs, row.study, row.run_id, zlib.compress(text.encode(), 1))
        db.execute(
            "INSERT INTO responses VALUES (?,?,?,?,?,?,?)", (*values, row.content, row.order)
        )
    db.close()


def store():
    source = Source.of(Instant())
    for name, raws, number in (
        ("1 token, 4 candidates", [completion()], 20_000),
        ("8 tokens, 20 candidates", [listed(k) for k in range(500)], 5_000),
    ):
        rows = [
            Stored(
                hashlib.sha256(f"{k}".encode()).hexdigest(),
                20,
                f"0-{k}",
                STUDY.hash,
                raws[k % len(raws)],
                "0a" * 8,
                "pampers>huggies>neither",
            )
            for k in range(number)
        ]
        print(f"store: {name}, processor seconds")
        before = _stored("as until version 2", rows, earlier)
        for way in ("put", "put_soon", "put_all"):

            def ours(folder, rows, way=way):
                with Store(Path(folder, "x.sqlite")) as opened:
                    if way == "put_all":
                        for first in range(0, len(rows), 1000):
                            opened.put_all((source, row) for row in rows[first : first + 1000])
                    else:
                        for row in rows:
                            getattr(opened, way)(source, row)

            seconds = _stored(way, rows, ours)
            print(f"    {before / seconds:.1f} times as fast as until version 2")


def _stored(name, rows, write):
    """Processor seconds of writing, told with the size on disk."""
    with tempfile.TemporaryDirectory() as folder:
        begun = time.process_time()
        write(folder, rows)
        seconds = time.process_time() - begun
        size = sum(file.stat().st_size for file in Path(folder).iterdir())
    print(
        f"  {name}: {len(rows) / seconds:,.0f} a second, {size / len(rows):,.0f} bytes on disk",
        flush=True,
    )
    return seconds


def synthetic():
    print("simulate with the known-truth consumer, processor seconds")
    simulate(STUDY, "synthetic", runs=2)
    found = {}
    for name, options in (("call by call", {"concurrency": 1}), ("at once", {})):
        begun = time.process_time()
        panel = simulate(STUDY, "synthetic", runs=250, seed=1, **options)
        found[name] = (time.process_time() - begun) / len(panel)
        print(f"  {name}: {1e6 * found[name]:.0f} microseconds an answer", flush=True)
    print(f"    {found['call by call'] / found['at once']:.1f} times as fast at once")


def local(runs, every, threads):
    """The design that was published, and the one that suits the embedded model."""
    record = load_study("pampers-households").to_dict()
    household = Study.from_dict(
        {**record, "personas": record["personas"][:1], "orders": "fixed", "cluster": "cell"}
    )
    for study in (household, STUDY):
        _local(study, runs, every, threads)


class _Timed:
    """Wall and processor seconds: the second tells more on a machine that others use."""

    def __enter__(self):
        self.begun = time.perf_counter(), time.process_time()
        return self

    def __exit__(self, *_):
        self.wall = time.perf_counter() - self.begun[0]
        self.cpu = time.process_time() - self.begun[1]


def _local(study, runs, every, threads):
    from llmdemand.simulation.backends.local import LocalBackend

    asked = list(requests(study, runs, 1))
    sample = asked[::every]
    print(f"embedded engine, {study.name}: 16 prices x {runs} runs, {threads} threads")

    def told(name, timed, answers, tokens):
        seconds = timed.cpu / answers
        print(
            f"  {name}: {timed.wall:.0f} s, processor {timed.cpu:.0f} s for {answers} answers, "
            f"{tokens / timed.wall:.0f} answer tokens per second, {tokens / timed.cpu:.0f} per "
            f"processor second; naive loop / this {naive / seconds if naive else 1:.1f}",
            flush=True,
        )
        return seconds

    # The engine as it comes: batches of 512, a prompt at a time, nothing kept.
    naive = 0.0
    plain = LocalBackend(path="batched", threads=threads)
    plain.address  # noqa: B018  # loads the model
    for name, cache in (("naive loop", False), ("loop with cached prompts", True)):
        with _Timed() as timed:
            tokens = sum(_whole_answer(plain._server, r, cache=cache) for r in sample)
        naive = told(name, timed, len(sample), tokens) if not cache else naive
        if cache:
            told(name, timed, len(sample), tokens)
    del plain
    with _Timed() as timed:
        tokens = _batched(asked, threads)
    told("engine with 16 slots, whole", timed, len(asked), tokens)
    for whole in (1.0, 0.1):
        for path in ("exact", "invariant"):
            ours = LocalBackend(whole=whole, path=path, threads=threads)
            ours.address  # noqa: B018
            with _Timed() as timed:
                frame = simulate(study, ours, runs=runs, seed=1, store=":memory:").frame
            name = "whole" if whole == 1 else "nine of ten to the pivot"
            told(f"ours, {path}, {name}", timed, len(frame), frame["completion_tokens"].sum())
            del ours


def _whole_answer(server, request, *, cache):
    from llmdemand.simulation.backends.engine import PLAIN_SAMPLING

    body = {
        **PLAIN_SAMPLING,
        "max_tokens": request.sampling.max_tokens,
        "seed": request.seed,
        "cache_prompt": cache,
    }
    if request.mode == "completion":
        body |= {"prompt": request.system + request.user, "logprobs": 20}
        return server.handle_completions(body)["usage"]["completion_tokens"]
    body["messages"] = [
        {"role": "system", "content": request.system},
        {"role": "user", "content": request.user},
    ]
    body |= {"logprobs": True, "top_logprobs": 20}
    return server.handle_chat_completions(body)["usage"]["completion_tokens"]


def _batched(asked, threads):
    """Tokens that the engine writes with 16 slots that share one batch, asked like the loop."""
    from llmdemand.simulation.backends.local import LocalBackend

    def sixteen(params):
        params.n_ctx, params.n_parallel = 16 * 512, 16

    server = LocalBackend(path="batched", threads=threads).engine(sixteen)
    with ThreadPoolExecutor(16) as pool:
        return sum(pool.map(lambda r: _whole_answer(server, r, cache=True), asked))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    known = ["runner", "http", "memory", "store", "synthetic", "local"]
    parser.add_argument("parts", nargs="*", default=known, help=", ".join(known))
    parser.add_argument("--total", type=int, default=1_000_000, help="answers of the memory part")
    parser.add_argument("--runs", type=int, default=20, help="runs per price of the local part")
    parser.add_argument("--every", type=int, default=16, help="baseline on every n-th run")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="of the engine")
    chosen = parser.parse_args()
    for part in chosen.parts:
        if part == "memory":
            memory(chosen.total)
        elif part == "local":
            local(chosen.runs, chosen.every, chosen.threads)
        else:
            {"runner": runner, "http": http, "store": store, "synthetic": synthetic}[part]()


if __name__ == "__main__":
    main()
