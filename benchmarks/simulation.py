"""Simulation, measured side by side in one run.

    python benchmarks/simulation.py                 # everything, about ten minutes on two cores
    python benchmarks/simulation.py runner store    # runner http batch memory store local
    python benchmarks/simulation.py local --every 1 # the baseline on all 320 runs, not a sample

Nothing here is asserted: times depend on the machine, ratios are what is read.
"""

import argparse
import asyncio
import json
import multiprocessing
import os
import resource
import tempfile
import threading
import time
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


async def _processor(call, asked, concurrency=32):
    """Milliseconds of this processor for a call, whatever else the machine is busy with."""
    await call(asked[0])  # imports, the first connection
    left, begun = iter(asked), time.process_time()

    async def work():
        for request in left:
            await call(request)

    await asyncio.gather(*(work() for _ in range(concurrency)))
    return 1e3 * (time.process_time() - begun) / len(asked)


def _wire(url, calls=2000):
    """The backend beside the openai client, which reads answers into its own objects or not."""
    import openai

    backend, asked = OpenAIBackend("fake", base_url=url), list(requests(STUDY, calls // 16, 1))

    async def measured():
        client = openai.AsyncOpenAI(base_url=url, api_key="none", max_retries=0)

        async def ours(request):
            async for raw in backend.complete([request]):
                backend.parse(raw)

        async def typed(request):
            await client.chat.completions.create(**backend.body(request)[1])

        async def raw(request):
            await client.chat.completions.with_raw_response.create(**backend.body(request)[1])

        try:
            return [await _processor(call, asked) for call in (ours, raw, typed)]
        finally:
            await client.close()
            await backend.close()

    ours, raw, typed = asyncio.run(measured())
    print("calls alone, 32 in flight, time of this processor")
    print(f"  ours, answers read: {ours:.3f} ms a call, {1e3 / ours:,.0f} a second")
    print(f"  openai client, raw: {raw:.3f} ms, {raw / ours:.1f} x ours")
    print(f"  openai client, typed: {typed:.3f} ms, {typed / ours:.1f} x ours")


def http():
    print("over HTTP: 1,000 calls in flight, a server process on the other core")
    port = multiprocessing.Value("i", 0)
    server = multiprocessing.Process(target=serve, args=(port, 0.05), daemon=True)
    server.start()
    while not port.value:
        time.sleep(0.05)
    url = f"http://127.0.0.1:{port.value}/v1"
    try:
        _wire(url)
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


def batch(total):
    print(f"batch of {total:,} requests, written in 8 files and read into parquet parts")
    for size in (total // 10, total):
        found = multiprocessing.Queue()
        child = multiprocessing.Process(target=_batch, args=(size // 16, found))
        child.start()
        rows, before, written, peak, seconds = found.get()
        child.join()
        print(
            f"  {rows:>9,} answers: {written - before:,.0f} MB above the start to write, "
            f"{peak - before:,.0f} MB to read, {rows / seconds:,.0f} read a second"
        )


def _batch(runs, found):
    from llmdemand import read_batch, write_batch

    def peak():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

    before, body = peak(), json.dumps(completion())
    with tempfile.TemporaryDirectory() as folder:
        options = {"model": "m", "base_url": "http://server/v1"}
        batch = write_batch(STUDY, Path(folder, "b"), runs=runs, shards=8, **options)
        written = peak()
        output = Path(folder, "output.jsonl")
        with output.open("w") as file:
            for name in batch.files:
                for line in name.open():
                    key = line[len('{"custom_id":"') :][:64]
                    response = f'{{"status_code":200,"body":{body}}}'
                    file.write(f'{{"custom_id":"{key}","response":{response},"error":null}}\n')
        begun = time.process_time()
        read = read_batch(Path(folder, "b"), [output], out=Path(folder, "panel"))
        seconds = time.process_time() - begun
    found.put((len(read.panel), before, written, peak(), seconds))


def store():
    print("store: one transaction per response")
    raw, number = completion(), 20_000
    backend = Instant()
    with tempfile.TemporaryDirectory() as folder, Store(Path(folder, "x.sqlite")) as opened:
        source = Source.of(backend)
        begun = time.perf_counter()
        for k in range(number):
            opened.put(source, Stored(f"{k:064x}", 20, f"0-{k}", "study", raw))
        seconds = time.perf_counter() - begun
        begun = time.perf_counter()
        for k in range(number):
            opened.get(f"{k:064x}", 5)
        reading = time.perf_counter() - begun
    print(f"  {number / seconds:,.0f} inserts and {number / reading:,.0f} reads per second")


def local(runs, every):
    """The design that was published, and the one that suits the embedded model."""
    record = load_study("pampers-households").to_dict()
    household = Study.from_dict(
        {**record, "personas": record["personas"][:1], "orders": "fixed", "cluster": "cell"}
    )
    for study in (household, STUDY):
        _local(study, runs, every)


def _local(study, runs, every):
    from llmdemand.simulation.backends.local import LocalBackend

    asked = list(requests(study, runs, 1))
    print(f"embedded engine, {study.name}: 16 prices x {runs} runs")
    ours = LocalBackend(whole=0.1)
    ours.address  # noqa: B018  # loads the model
    begun = time.perf_counter()
    panel = simulate(study, ours, runs=runs, seed=1)
    shared = time.perf_counter() - begun
    counts = ", ".join(f"{s} {n}" for s, n in panel.statuses.items() if n)
    print(f"  ours: {shared:.0f} s ({counts})", flush=True)
    whole = LocalBackend()
    whole.address  # noqa: B018
    begun = time.perf_counter()
    answers = simulate(study, whole, runs=max(1, runs // 4), seed=1)
    delivered = answers.frame["completion_tokens"].sum() / (time.perf_counter() - begun)
    del ours, whole

    # The engine as it comes: batches of 512, a prompt at a time, nothing kept.
    sample = asked[::every]
    plain = LocalBackend(exact=False)
    plain.address  # noqa: B018
    begun = time.perf_counter()
    for request in sample:
        _whole_answer(plain._server, request, cache=False)
    alone = (time.perf_counter() - begun) * len(asked) / len(sample)
    note = "" if every == 1 else f", from every {every}th run"
    print(f"  one at a time, no cache: {alone:.0f} s{note}; ratio {alone / shared:.1f}", flush=True)

    begun = time.perf_counter()
    tokens = sum(_whole_answer(plain._server, request, cache=True) for request in sample)
    single = tokens / (time.perf_counter() - begun)
    del plain
    batched = _batched(asked[: 16 * 4])
    stopped = panel.frame["completion_tokens"].sum() / shared
    print(
        f"  answer tokens per second, prompts included: engine one at a time with cache "
        f"{single:.0f}, engine with 16 slots {batched:.0f}, ours whole {delivered:.0f}, ours "
        f"stopped at the pivot in nine of ten runs {stopped:.0f}"
    )
    print(
        f"  runs per second: ours {len(asked) / shared:.1f}, engine with 16 slots "
        f"{batched / (tokens / len(sample)):.1f}",
        flush=True,
    )


def _whole_answer(server, request, *, cache):
    from llmdemand.simulation.backends.local import _PLAIN_SAMPLING

    body = {
        **_PLAIN_SAMPLING,
        "temperature": 1.0,
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


def _batched(asked):
    """The engine's own rate with 16 slots that share one batch."""
    import xllamacpp

    from llmdemand.simulation.backends.local import _quiet
    from llmdemand.simulation.backends.weights import embedded_model

    params = xllamacpp.CommonParams()
    params.model.path = str(embedded_model())
    params.n_ctx, params.n_parallel, params.cache_ram_mib = 16 * 512, 16, 0
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = os.cpu_count()
    params.warmup, params.verbosity, params.port = False, -1, 0
    params.api_keys, params.ui, params.endpoint_slots = [os.urandom(8).hex()], False, False
    with _quiet():
        server = xllamacpp.Server(params)
    tokens, lock, left = [0], threading.Lock(), iter(asked)

    def work():
        while True:
            with lock:
                request = next(left, None)
            if request is None:
                return
            written = _whole_answer(server, request, cache=True)
            with lock:
                tokens[0] += written

    begun = time.perf_counter()
    threads = [threading.Thread(target=work) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return tokens[0] / (time.perf_counter() - begun)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    known = ["runner", "http", "batch", "memory", "store", "local"]
    parser.add_argument("parts", nargs="*", default=known, help=", ".join(known))
    parser.add_argument("--total", type=int, default=1_000_000, help="answers of batch and memory")
    parser.add_argument("--runs", type=int, default=20, help="runs per price of the local part")
    parser.add_argument("--every", type=int, default=16, help="baseline on every n-th run")
    chosen = parser.parse_args()
    for part in chosen.parts:
        if part in ("batch", "memory"):
            {"batch": batch, "memory": memory}[part](chosen.total)
        elif part == "local":
            local(chosen.runs, chosen.every)
        else:
            {"runner": runner, "http": http, "store": store}[part]()


if __name__ == "__main__":
    main()
