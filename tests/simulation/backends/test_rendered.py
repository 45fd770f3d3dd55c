"""Servers asked by token ids: vLLM and llama.cpp, as they speak and misbehave."""

import json
import math
import random
from collections import Counter

import numpy as np
import pandas as pd
import pytest

from llmdemand import load_study, simulate
from llmdemand.belief.final.column import FinalColumns
from llmdemand.core.study import Study
from llmdemand.errors import BackendError, BudgetReached, UsageError
from llmdemand.simulation.backends.openai import OpenAIBackend
from llmdemand.simulation.cost import Budget
from llmdemand.simulation.storing.store import Store

DATA = load_study("pampers").to_dict()
DATA["alternatives"][0]["price"] = [30.0, 45.0]
STUDY = Study.from_dict(DATA | {"sampling": {"max_tokens": 6, "top_logprobs": 4, "branch": True}})
# Two tokens are written " Huggies": one goes on to praise, the other to regret.
WORDS = ["", " I", " pick", " Pampers", " Huggies", " are", " dear.", " Neither", " Huggies", "é"]
LAWS = {
    None: {1: 0.5, 3: 0.3, 4: 0.1, 8: 0.1},
    1: {2: 1.0},
    2: {3: 0.55, 4: 0.2, 8: 0.15, 7: 0.06, 1: 0.04},
    3: {5: 0.4, 0: 0.6},
    4: {0: 1.0},
    5: {6: 1.0},
    6: {4: 0.5, 3: 0.2, 7: 0.3},
    7: {0: 1.0},
    8: {5: 0.9, 0: 0.1},
}
PROMPT = 100  # ids from here on are the prompt's


def spell(ids):
    return "".join(WORDS[k] for k in ids)


def texts(ids=()):
    for k, p in LAWS[ids[-1] if ids else None].items():
        if not WORDS[k]:
            yield ids, p
        elif len(ids) == 5:
            yield (*ids, k), p
        else:
            for text, q in texts((*ids, k)):
                yield text, p * q


class Served:
    """A model of nine words behind the interfaces of one kind of server."""

    def __init__(self, server, kind):
        self.server, self.kind = server, kind
        self.lost_ids, self.seen, self.tail = False, Counter(), "<assistant>\n"

    def __call__(self, body, call):
        path = self.server.paths[call - 1]
        self.seen[path] += 1
        if path == "/apply-template" and self.kind == "vllm":
            return 404, {"error": {"message": "Not Found"}}, {}
        return 200, getattr(self, path.strip("/").replace("/", "_").replace("-", "_"))(body), {}

    def apply_template(self, body):
        return {"prompt": "<user>" + body["messages"][-1]["content"][-40:] + "<assistant>"}

    def tokenize(self, body):
        if self.kind == "vllm" and "messages" in body:
            assert body["add_generation_prompt"]
            text = body["messages"][-1]["content"]
        else:
            text = body["prompt" if self.kind == "vllm" else "content"]
        letters = [PROMPT + ord(c) % 50 for c in text[-12:]]
        ids = [WORDS.index(text)] if text in WORDS else letters
        return {"count": len(ids), "tokens": ids, "max_model_len": 100}

    def detokenize(self, body):
        text = "".join(chr(k - PROMPT) for k in body["tokens"][-4:]) + self.tail
        return {"prompt" if self.kind == "vllm" else "content": text}

    def v1_completions(self, body):
        prompt, answer = body["prompt"], ()
        while prompt and prompt[len(prompt) - len(answer) - 1] < PROMPT:
            answer = tuple(prompt[len(prompt) - len(answer) - 1 :])
        rng, new, entries, reason = random.Random(f"{body['seed']}"), [], [], "length"
        for _ in range(body["max_tokens"]):
            law = LAWS[answer[-1] if answer else None]
            (drawn,) = rng.choices(list(law), list(law.values()))
            ranked = sorted(law.items(), key=lambda one: -one[1])[: body["logprobs"]]
            new.append(drawn)
            entries.append((drawn, law[drawn], ranked))
            if not WORDS[drawn]:
                reason = "stop"
                break
            answer = (*answer, drawn)
        return {
            "model": "served-1",
            "choices": [{"text": spell(new), "finish_reason": reason, **self.told(entries, body)}],
            "usage": {"prompt_tokens": len(prompt), "completion_tokens": len(new)},
        }

    def told(self, entries, body):
        if self.kind == "llama":

            def entry(id_, p):
                named = {"token": WORDS[id_], "bytes": list(WORDS[id_].encode())}
                own = {} if self.lost_ids else {"id": id_}
                return {**own, **named, "logprob": math.log(p)}

            content = [
                {**entry(k, p), "top_logprobs": [entry(c, q) for c, q in ranked]}
                for k, p, ranked in entries
            ]
            # An end of text comes without an entry.
            return {"logprobs": {"content": [e for e in content if e["bytes"]]}}
        by_id = body.get("return_tokens_as_token_ids")

        def name(id_):
            return f"token_id:{id_}" if by_id else WORDS[id_]

        found = {
            "logprobs": {
                "tokens": [name(k) for k, _, _ in entries],
                "token_logprobs": [math.log(p) for _, p, _ in entries],
                # The drawn one first, then the most probable: k + 1 where it is none of them.
                "top_logprobs": [
                    {name(c): math.log(q) for c, q in [(k, p), *ranked]} for k, p, ranked in entries
                ],
            }
        }
        if body.get("return_token_ids") and not self.lost_ids:
            found["token_ids"] = [k for k, _, _ in entries]
        return found


@pytest.fixture(params=["vllm", "llama"])
def served(request, fake_server):
    fake_server.answer = Served(fake_server, request.param)
    return fake_server


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """Answers that nobody names a store for are kept in the current folder."""
    monkeypatch.chdir(tmp_path)


def ask(server, study=STUDY, **options):
    backend = OpenAIBackend("served", base_url=server.url)
    return simulate(study, backend, **{"runs": 40, "seed": 4, "probe": False, **options})


def test_the_mean_is_that_of_the_whole_texts_though_two_tokens_are_spelt_alike(served, tmp_path):
    frame = ask(served, store=tmp_path / "s.sqlite").frame
    truth, read = Counter(), FinalColumns(STUDY).reader((), {})
    for ids, p in texts():
        truth[read(spell(ids))] += p
    for alternative in ("pampers", "huggies", "neither"):
        belief = frame[f"belief_{alternative}"].fillna(0.0)  # of answers without any name
        error = belief.std() / len(frame) ** 0.5
        assert belief.mean() == pytest.approx(truth[alternative], abs=4 * error)
    assert set(frame["status"]) <= {"ok", "unread", "no_pivot"}
    assert (frame["branches"] > 1).mean() > 0.7
    sent = [b["prompt"] for b in served.requests if "prompt" in b and "max_tokens" in b]
    assert all(isinstance(k, int) for prompt in sent for k in prompt)
    # Of the two that are spelt alike llama.cpp tells which it was; by its text one is known.
    own = {prompt[-1] for prompt in sent if prompt[-1] < PROMPT}
    assert own >= ({3, 4, 8} if served.answer.kind == "llama" else {3, 4})
    assert served.answer.seen["/tokenize"] < 80, "prompts and texts are turned into ids once"
    with Store(tmp_path / "s.sqlite") as store:
        rows = [row["raw"] for row in store.export()]
    assert any("plan" in raw for raw in rows) and any("branch_of" in raw for raw in rows)


def test_nothing_depends_on_how_many_calls_are_under_way(served):
    one, many = (ask(served, runs=5, concurrency=c, store=":memory:").frame for c in (1, 16))
    pd.testing.assert_frame_equal(one, many)


def test_troubles_on_the_way_change_nothing(served, quick_retries, tmp_path):
    whole = ask(served, runs=6, store=":memory:").frame
    good, rng = served.answer, random.Random(3)

    def bad(body, call):
        trouble = rng.random()
        if trouble < 0.1:
            return 429, {"error": {"message": "slow down"}}, {"Retry-After": "0.01"}
        if trouble < 0.2:
            return 500, {"error": {"message": "oops"}}, {}
        if trouble < 0.3:
            return 200, b"<html>not what you asked for", {}
        return good(body, call)

    served.answer = bad
    frame = ask(served, runs=6, store=tmp_path / "s.sqlite").frame
    served.answer = good
    pd.testing.assert_frame_equal(frame, whole)


def test_a_server_without_ids_is_refused_in_words(served):
    served.answer.lost_ids = True
    with pytest.raises(BackendError, match=r"gave no ids for|came without token ids|no ids"):
        ask(served, runs=1, store=":memory:")


def test_a_server_that_changes_the_prompt_is_refused(served):
    good = served.answer

    def adds(body, call):
        status, answer, headers = good(body, call)
        if "usage" in answer:
            answer["usage"]["prompt_tokens"] += 1
        return status, answer, headers

    served.answer = adds
    with pytest.raises(BackendError, match=r"read 13 tokens of a prompt of 12"):
        ask(served, runs=1, store=":memory:")


@pytest.mark.parametrize("lie", ["5", -5, None])
def test_a_server_that_counts_nonsense_is_not_believed_in_the_sum_of_its_calls(served, lie):
    good = served.answer

    def lies(body, call):
        status, answer, headers = good(body, call)
        if "usage" in answer:
            answer["usage"]["completion_tokens"] = lie
        return status, answer, headers

    served.answer = lies
    panel = ask(served, runs=1, store=":memory:")
    assert panel.frame["completion_tokens"].isna().all()
    if lie is not None:
        with pytest.raises(BudgetReached, match=r"counts completion_tokens .*no number of tokens"):
            ask(served, runs=1, store=":memory:", budget=Budget(tokens=1e6))


@pytest.mark.parametrize("answer", [{}, {"tokens": []}, {"tokens": ["a"]}, {"tokens": "ab"}])
def test_a_server_that_gives_no_prompt_ids_is_refused(fake_server, answer):
    fake_server.answer = lambda body, call: (200, answer, {})
    with pytest.raises(BackendError, match="gives no token ids at /tokenize"):
        ask(fake_server, runs=1, store=":memory:")


THINKS = {"max_tokens": 4, "top_logprobs": 4, "thinking": {"thoughts": 2, "max_tokens": 5}}


@pytest.mark.parametrize(
    ("tail", "opening"),
    [("<assistant>\n", "<think>\n"), ("<assistant><think>\n", "")],
    ids=["qwen", "r1"],
)
def test_thoughts_are_forced_in_the_rendered_prompt(served, tail, opening):
    served.answer.tail = tail
    study = Study.from_dict(DATA | {"sampling": THINKS})
    panel = ask(served, study, runs=2)
    assert panel.provenance["thoughts"] == "forced"
    assert set(panel.frame["thoughts"]) == {2}
    assert panel.frame["thought_cut"].between(0, 1).all()
    texts = [b.get("content") for b in served.requests if "content" in b]
    # What the template opens is not opened again; each thought is closed before the answer.
    assert any(t == opening for t in texts) == bool(opening)
    closed = [t for t in texts if t.endswith("</think>\n\nAnswer:")]
    assert closed and all(t.startswith(opening) for t in closed)
    assert all(("<think>" in t) == bool(opening) for t in closed)
    assert not any(
        "messages" in b and b["messages"][-1]["role"] == "assistant" for b in chats(served)
    )


def chats(server):
    return [body for body in server.requests if "messages" in body]


def test_a_template_that_closes_the_thought_is_refused(served):
    served.answer.tail = "<assistant><think>\n\n</think>\n\n"
    with pytest.raises(BackendError, match="ends with a thought that is closed"):
        ask(served, Study.from_dict(DATA | {"sampling": THINKS}), runs=1, store=":memory:")


def test_openai_continues_nothing(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    with pytest.raises(UsageError, match="OpenAI continues no answer"):
        simulate(STUDY, OpenAIBackend("gpt-4o"), runs=1)


def test_the_budget_counts_looks_and_branches(served, tmp_path):
    from llmdemand.errors import BudgetReached
    from llmdemand.simulation.cost import Budget

    store = tmp_path / "s.sqlite"
    with pytest.raises(BudgetReached):
        ask(served, store=store, budget=Budget(tokens=9_000))
    used = 0
    for body in served.delivered:
        if "max_tokens" in body:
            used += len(body["prompt"])
    assert 500 < used < 9_000
    with Store(store) as opened:
        read = sum(row["prompt_tokens"] for row in opened.export())
    assert read == used


def test_the_template_may_be_told_things(served):
    backend = OpenAIBackend(
        "served",
        base_url=served.url,
        extra_body={"chat_template_kwargs": {"enable_thinking": False}},
    )
    simulate(STUDY, backend, runs=1, probe=False, store=":memory:")
    sent = [body["chat_template_kwargs"] for body in chats(served)]
    assert sent and all(fields == {"enable_thinking": False} for fields in sent)


def test_the_probe_sees_what_the_study_will(served):
    panel = ask(served, runs=1, probe=True, store=":memory:")
    assert panel.provenance["probe"]["logprobs"]
    assert "rendered" in json.dumps(panel.provenance["settings"])
    assert np.isfinite(panel.usable["belief_pampers"]).all()
