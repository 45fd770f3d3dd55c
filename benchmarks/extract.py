"""How fast beliefs are extracted, and in how much memory.

    python benchmarks/extract.py            # both
    python benchmarks/extract.py --responses 1000000

Times a 21-token answer with 20 candidates each (median over repeats, side by side with
reading the same response from JSON), then streams a JSONL file of responses through
`read_answers` and prints the rate and how memory grew.
"""

import argparse
import json
import math
import random
import re
import resource
import statistics
import tempfile
import time
import warnings
from pathlib import Path

from llmdemand import Extractor, Response, Token, load_study, read_answers, read_response
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


def per_run(repeats: int) -> None:
    rng = random.Random(1)
    responses = [answer(rng) for _ in range(500)]
    raw = [json.dumps(to_compact(r)).encode() for r in responses]
    chats = [json.dumps(chat(r)).encode() for r in responses]
    extractor = Extractor(load_study("pampers").menu)
    assert all(extractor(r).pivot_index == 20 for r in responses)
    tokens = len(responses[0].tokens)
    belief, reading, chatting, plain = [], [], [], []
    for _ in range(repeats):
        start = time.perf_counter()
        for response in responses:
            extractor(response)
        belief.append((time.perf_counter() - start) / len(responses))
        start = time.perf_counter()
        for line in raw:
            read_response(line)
        reading.append((time.perf_counter() - start) / len(raw))
        start = time.perf_counter()
        for line in chats:
            read_response(line)
        chatting.append((time.perf_counter() - start) / len(raw))
        start = time.perf_counter()
        for line in raw:
            json.loads(line)
        plain.append((time.perf_counter() - start) / len(raw))
    one, other, third, base = map(statistics.median, (belief, reading, chatting, plain))
    print(f"{tokens} tokens x 20 candidates, median of {repeats} rounds over 500 responses")
    print(f"  {'extract':<22} {1e6 * one:8.1f} us per run")
    for name, value in (
        ("read, short form", other),
        ("read, chat", third),
        ("json.loads, short form", base),
    ):
        print(f"  {name:<22} {1e6 * value:8.1f} us per run   ({value / one:.1f} x extract)")


def stream(responses: int) -> None:
    rng = random.Random(2)
    study = load_study("pampers")
    lines = [json.dumps(to_compact(answer(rng))) for _ in range(64)]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "responses.jsonl"
        with path.open("w") as file:
            for k in range(responses):
                file.write(f'{{"run_id":"{k % 16}-{k // 16}","raw":{lines[k % 64]}}}\n')
        extractor, seen, start = Extractor(study.menu), 0, time.perf_counter()
        peak_at = {}
        for found in read_answers(path, study):
            seen += extractor(found.response).pivot_index == 20
            if seen in (responses // 10, responses):
                peak_at[seen] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        spent = time.perf_counter() - start
        size = path.stat().st_size / 2**20
    early, late = peak_at[responses // 10], peak_at[responses]
    print(f"{responses} responses, {size:.0f} MB of JSONL: {responses / spent:.0f} per second")
    print(f"  peak memory {early:.0f} MB after a tenth, {late:.0f} MB at the end")


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--responses", type=int, default=100_000)
    parser.add_argument("--repeats", type=int, default=11)
    arguments = parser.parse_args()
    per_run(arguments.repeats)
    stream(arguments.responses)
