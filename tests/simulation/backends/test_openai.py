"""The openai backend over real HTTP: what it sends, what it makes of answers, what it refuses."""

import asyncio
import json
import math
import os
import subprocess
import sys
from dataclasses import replace

import pytest

import llmdemand as ld
from llmdemand import load_study, simulate
from llmdemand.errors import BackendError, UsageError
from llmdemand.simulation.backends.openai import OpenAIBackend, refuse_reasoning
from llmdemand.simulation.storing.store import Store

STUDY = load_study("pampers")
CANARY = "sk-canary-1234567890"
LISTED = {"Pampers": math.log(0.7), "H": math.log(0.2)}
PAMPERS = [("Pampers", math.log(0.7), LISTED)]


@pytest.fixture
def backend(fake_server, monkeypatch, quick_retries):
    monkeypatch.setenv("OPENAI_API_KEY", CANARY)
    return OpenAIBackend("fake-1", base_url=fake_server.url)


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path, monkeypatch):
    # Paid answers are kept in a file of the working folder where no store is named.
    monkeypatch.chdir(tmp_path)


def test_a_study_over_http(backend, fake_server, complete):
    fake_server.answer = lambda body, call: (200, complete("Pampers", PAMPERS), {})
    panel = simulate(STUDY, backend, runs=2, seed=1, store=":memory:", probe=False)
    assert len(fake_server.requests) == 32
    assert panel.frame["belief_pampers"].tolist() == pytest.approx([0.7 / 0.9] * 32)
    assert set(panel.frame["model"]) == {"fake-1"}
    assert panel.frame["prompt_tokens"].eq(7).all()
    body = fake_server.requests[0]
    assert body["logprobs"] is True and body["top_logprobs"] == 20
    assert body["temperature"] == 1.0 and body["top_p"] == 1.0
    assert body["max_tokens"] == STUDY.sampling.max_tokens
    assert len({r["seed"] for r in fake_server.requests}) == 32
    assert [m["role"] for m in body["messages"]] == ["system", "user"]
    assert set(fake_server.paths) == {"/v1/chat/completions"}


def test_paid_answers_are_kept_on_disk_even_if_no_store_is_named(backend, fake_server, tmp_path):
    simulate(STUDY, backend, runs=1, seed=1, probe=False)
    with Store(tmp_path / "llmdemand.responses.sqlite") as store:
        assert len(store) == 16


def test_transport_errors_are_retried_and_answers_are_not(backend, fake_server, complete):
    def answer(body, call):
        if call == 1:
            return 429, {"error": {"message": "slow down"}}, {"Retry-After": "0"}
        if call == 2:
            return 500, {"error": {"message": "oops"}}, {}
        return 200, complete("I'm sorry, I can't.", [("I", -0.1, {"I": -0.1})]), {}

    fake_server.answer = answer
    panel = simulate(STUDY, backend, runs=1, seed=1, store=":memory:", probe=False)
    assert len(fake_server.requests) == 16 + 2
    assert panel.statuses["refusal"] == 16


@pytest.mark.parametrize(
    ("made", "status"),
    [
        ({"text": "Pampers"}, "no_logprobs"),
        ({"text": ""}, "no_output"),
        ({"text": None, "refusal": "No."}, "refusal"),
        ({"text": "Pampers", "logprobs": [("Pampers", 0.5, {})]}, "invalid_logprobs"),
    ],
)
def test_bad_answers_are_rows_with_a_status(backend, fake_server, complete, made, status):
    fake_server.answer = lambda body, call: (200, complete(**made), {})
    panel = simulate(STUDY, backend, runs=1, seed=1, store=":memory:", probe=False)
    assert panel.statuses[status] == 16
    assert len(fake_server.requests) == 16, "an answer is never asked for again"


@pytest.mark.parametrize("status", [400, 401, 403, 404, 422])
def test_refused_requests_end_at_once_and_say_what_the_server_said(backend, fake_server, status):
    message = f"Incorrect API key provided: {CANARY}."
    fake_server.answer = lambda body, call: (status, {"error": {"message": message}}, {})
    with pytest.raises(
        BackendError, match=rf"answered {status} to model 'fake-1': Incorrect"
    ) as caught:
        simulate(STUDY, backend, runs=1, seed=1)
    assert CANARY not in str(caught.value) and "\n" not in str(caught.value)
    assert len(fake_server.requests) == 1


@pytest.mark.parametrize(
    ("own", "echoed"),
    [("0123abcd4567", "0123abcd4567"), ("0123abcd4567", "sk-other-99"), (CANARY, "sk-cana***7890")],
    ids=["of another form", "another key", "half hidden"],
)
def test_no_key_of_any_form_is_repeated(fake_server, monkeypatch, own, echoed):
    monkeypatch.setenv("OPENAI_API_KEY", own)
    backend = OpenAIBackend("fake-1", base_url=fake_server.url)
    error = {"error": {"message": f"Incorrect API key provided: {echoed}."}}
    fake_server.answer = lambda body, call: (401, error, {})
    with pytest.raises(BackendError, match="Incorrect API key provided: <key>") as caught:
        simulate(STUDY, backend, runs=1, seed=1)
    assert echoed not in str(caught.value)


def test_without_a_probe_a_refusal_ends_all_that_is_under_way(backend, fake_server):
    fake_server.answer = lambda body, call: (404, b"", {})
    with pytest.raises(BackendError, match="answered 404"):
        simulate(STUDY, backend, runs=1, seed=1, probe=False, concurrency=5)
    assert len(fake_server.requests) <= 5


def test_a_used_up_quota_is_a_429_that_is_not_retried(backend, fake_server):
    error = {"error": {"message": "You exceeded your quota", "code": "insufficient_quota"}}
    fake_server.answer = lambda body, call: (429, error, {"Retry-After": "0"})
    with pytest.raises(BackendError, match="add credit, then run the same command"):
        simulate(STUDY, backend, runs=1, seed=1)
    assert len(fake_server.requests) == 1


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ((200, b"<html>hello</html>", {"Content-Type": "text/html"}), "18 bytes of text/html"),
        ((200, b'{"choices": [', {}), "no JSON object"),
        ((200, b"[1]", {}), "list in place of an object"),
        ((200, {"hello": "world"}, {}), "does not speak the OpenAI protocol"),
        ((200, {"choices": "none"}, {}), "does not speak the OpenAI protocol"),
        ((200, {"error": {"message": "model not loaded", "code": 400}}, {}), "model not loaded"),
        ((404, b"", {}), "answered 404"),
    ],
)
def test_what_is_no_such_server_is_said_in_one_line(backend, fake_server, answer, message):
    fake_server.answer = lambda body, call: (answer[0], answer[1], dict(answer[2]))
    with pytest.raises(BackendError, match=message) as caught:
        simulate(STUDY, backend, runs=1, seed=1, patience=0, probe=False)
    assert "\n" not in str(caught.value)


def test_nobody_at_home(quick_retries):
    backend = OpenAIBackend("x", base_url="http://127.0.0.1:9/v1")
    with pytest.raises(BackendError, match=r"could not be reached.*run the same command"):
        simulate(STUDY, backend, runs=1, seed=1, patience=0, probe=False)


def test_the_key_reaches_the_server_and_nothing_else(
    backend, fake_server, complete, tmp_path, capfd
):
    # What one server echoes in its errors must not get through either.
    def answer(body, call):
        if call == 5:
            return 500, {"error": {"message": f"bad gateway for Bearer {CANARY}"}}, {}
        return 200, complete("Pampers", PAMPERS), {}

    fake_server.answer = answer
    path = tmp_path / "responses.sqlite"
    panel = simulate(STUDY, backend, runs=3, seed=1, store=path, progress=True)
    assert "probe" in panel.provenance
    panel.write(tmp_path / "panel.parquet")
    with Store(path) as store, (tmp_path / "export.jsonl").open("w") as out:
        out.writelines(json.dumps(line) + "\n" for line in store.export())
    # A panel with two kinds of answers, for without variation there is no report.
    rich = simulate(STUDY, "synthetic", runs=4, seed=1)
    mixed = ld.Panel(rich.frame, STUDY, panel.provenance)
    ld.compare(mixed, runs=(1, 2), replications=10).to_html(tmp_path / "report.html")
    assert all(h["authorization"] == f"Bearer {CANARY}" for h in fake_server.headers)
    files = [p for p in tmp_path.rglob("*") if p.is_file()]
    assert len(files) >= 4
    for file in files:
        assert CANARY.encode() not in file.read_bytes(), file
    seen = "".join(capfd.readouterr())
    assert CANARY not in seen + repr(backend) + repr(vars(backend)) + repr(panel.provenance)


def test_the_command_line_shows_the_key_nowhere(fake_server, tmp_path):
    echo = {"error": {"message": f"Incorrect API key provided: {CANARY}"}}
    fake_server.answer = lambda body, call: (401, echo, {})
    done = subprocess.run(
        [
            *(sys.executable, "-c", "from llmdemand.cli import main; main()"),
            *("simulate", "pampers", "--backend", "openai", "--model", "fake-1"),
            *("--base-url", fake_server.url, "--runs", "1"),
        ],
        capture_output=True,
        cwd=tmp_path,
        env={**os.environ, "OPENAI_API_KEY": CANARY},
        timeout=60,
        check=False,
    )
    assert done.returncode == 2 and b"answered 401" in done.stderr
    assert CANARY.encode() not in done.stdout + done.stderr
    assert fake_server.headers[0]["authorization"] == f"Bearer {CANARY}"
    for file in tmp_path.rglob("*"):
        assert file.is_dir() or CANARY.encode() not in file.read_bytes()


def test_secrets_that_would_be_stored_are_refused(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", CANARY)
    for address in (
        f"http://user:{CANARY}@127.0.0.1:1/v1",
        f"http://{CANARY}@127.0.0.1:1/v1",
        f"http://127.0.0.1:1/v1?key={CANARY}",
    ):
        with pytest.raises(UsageError, match="would be stored") as caught:
            OpenAIBackend("fake-1", base_url=address)
        assert CANARY not in str(caught.value)
    with pytest.raises(UsageError, match="extra_body holds the API key") as caught:
        OpenAIBackend("m", base_url="http://127.0.0.1:1/v1", extra_body={"a": {"b": [CANARY]}})
    assert CANARY not in str(caught.value)
    with pytest.raises(UsageError, match="is no web address"):
        OpenAIBackend("fake-1", base_url="127.0.0.1:8000")


def test_no_key_is_said_before_any_call():
    with pytest.raises(UsageError, match="no OPENAI_API_KEY"):
        OpenAIBackend("gpt-4o")


@pytest.mark.parametrize(
    "model", ["o1", "o1-preview", "o3-mini", "o4-mini", "gpt-5", "gpt-5-mini", "vendor/o3"]
)
def test_reasoning_models_are_refused_before_any_call(model):
    with pytest.raises(UsageError, match="returns no log-probabilities"):
        OpenAIBackend(model, base_url="http://127.0.0.1:1/v1")
    with pytest.raises(UsageError, match="returns no log-probabilities"):
        refuse_reasoning(model, "none")


def test_models_that_may_reason_must_be_told_not_to(fake_server):
    with pytest.raises(UsageError, match="--reasoning-effort none"):
        OpenAIBackend("gpt-5.1", base_url=fake_server.url)
    with pytest.raises(UsageError, match="use 'none'"):
        OpenAIBackend("gpt-5.1", base_url=fake_server.url, reasoning_effort="low")
    backend = OpenAIBackend("gpt-5.1", base_url=fake_server.url, reasoning_effort="none")
    simulate(STUDY, backend, runs=1, store=":memory:", probe=False)
    assert fake_server.requests[0]["reasoning_effort"] == "none"


@pytest.mark.parametrize("model", ["gpt-4o", "gpt-4.1-nano", "qwen3-8b", "olmo3", "solo1"])
def test_other_models_are_not_taken_for_reasoning_ones(model):
    refuse_reasoning(model, None)


def responses_object(text, logprobs):
    entries = [
        {
            "token": token,
            "logprob": value,
            "bytes": list(token.encode()),
            "top_logprobs": [
                {"token": c, "logprob": v, "bytes": list(c.encode())} for c, v in listed.items()
            ],
        }
        for token, value, listed in logprobs
    ]
    block = {"type": "output_text", "text": text, "annotations": [], "logprobs": entries}
    message = {"type": "message", "role": "assistant", "status": "completed", "content": [block]}
    return {
        "id": "resp_1",
        "object": "response",
        "status": "completed",
        "model": "fake-1",
        "output": [message],
        "usage": {"input_tokens": 11, "output_tokens": 3, "total_tokens": 14},
    }


def test_the_responses_interface(fake_server):
    fake_server.answer = lambda body, call: (200, responses_object("Pampers", PAMPERS), {})
    backend = OpenAIBackend("fake-1", base_url=fake_server.url, api="responses")
    panel = simulate(STUDY, backend, runs=1, store=":memory:")
    assert set(fake_server.paths) == {"/v1/responses"}
    assert panel.frame["belief_pampers"].tolist() == pytest.approx([0.7 / 0.9] * 16)
    assert panel.frame["prompt_tokens"].eq(11).all()
    body = fake_server.requests[-1]
    assert body["include"] == ["message.output_text.logprobs"] and body["top_logprobs"] == 20
    assert body["store"] is False and body["instructions"] == STUDY.system
    # A study of one token: the interface takes no fewer than 16.
    short = replace(STUDY, sampling=replace(STUDY.sampling, max_tokens=1))
    assert backend.body(first_request(short))[1]["max_output_tokens"] == 16


def test_the_responses_interface_says_what_it_cannot_ask(fake_server):
    backend = OpenAIBackend("fake-1", base_url=fake_server.url, api="responses")
    stopped = replace(STUDY, sampling=replace(STUDY.sampling, stop=("\n",)))
    with pytest.raises(BackendError, match="no stop strings: use --api chat"):
        simulate(stopped, backend, runs=1, store=":memory:")
    assert not fake_server.requests
    with pytest.raises(UsageError, match="n=2"):
        OpenAIBackend("fake-1", base_url=fake_server.url, api="responses", n=2)


def first_request(study):
    from llmdemand.simulation.requests import requests

    return next(iter(requests(study, 1, 1)))


def legacy(text, listed):
    choice = {
        "index": 0,
        "text": text,
        "finish_reason": "stop",
        "logprobs": {
            "tokens": [text],
            "token_logprobs": [listed[text]],
            "top_logprobs": [listed],
            "text_offset": [0],
        },
    }
    usage = {"prompt_tokens": 5, "completion_tokens": 1}
    return {"object": "text_completion", "model": "fake-1", "choices": [choice], "usage": usage}


def test_the_completions_interface_continues_text(fake_server):
    fake_server.answer = lambda body, call: (200, legacy("Pampers", LISTED), {})
    study = replace(STUDY, mode="completion")
    backend = OpenAIBackend("fake-1", base_url=fake_server.url)
    panel = simulate(study, backend, runs=1, store=":memory:")
    assert set(fake_server.paths) == {"/v1/completions"}
    body = fake_server.requests[-1]
    assert "messages" not in body and body["logprobs"] == 20
    assert body["prompt"].startswith(study.system)
    assert panel.frame["belief_pampers"].tolist() == pytest.approx([0.7 / 0.9] * 16)


def test_extra_fields_are_sent_and_name_the_source(fake_server, tmp_path):
    path = tmp_path / "s.sqlite"
    plain = OpenAIBackend("fake-1", base_url=fake_server.url)
    filtered = OpenAIBackend("fake-1", base_url=fake_server.url, extra_body={"top_k": 0})
    for backend in (plain, filtered):
        simulate(STUDY, backend, runs=1, store=path, probe=False)
    assert len(fake_server.requests) == 32, "another sampler gives other answers: nothing shared"
    assert fake_server.requests[-1]["top_k"] == 0 and "top_k" not in fake_server.requests[0]


def several(complete, texts):
    """One response with a choice for each text."""
    raw = complete(texts[0], [(texts[0], LISTED["Pampers"], LISTED)])
    raw["choices"] = [
        {**complete(t, [(t, -0.5, {t: -0.5})])["choices"][0], "index": k}
        for k, t in enumerate(texts)
    ]
    raw["usage"] = {"prompt_tokens": 100, "completion_tokens": len(texts)}
    return raw


def test_several_answers_per_call_share_the_price_of_the_prompt(fake_server, complete, tmp_path):
    def answer(body, call):
        texts = ["Pampers", "Huggies", "neither"][: body.get("n", 1)]
        return 200, several(complete, texts), {}

    fake_server.answer = answer
    backend = OpenAIBackend("fake-1", base_url=fake_server.url, n=3)
    # Two orders of options are two prompts: of 8 runs a cell, 4 share each.
    panel = simulate(STUDY, backend, runs=8, store=tmp_path / "s.sqlite", probe=False)
    assert len(panel) == 128 and panel.statuses["ok"] == 128
    assert len(fake_server.requests) == 16 * 2 * 2
    assert sorted({body.get("n", 1) for body in fake_server.requests}) == [1, 3]
    assert panel.frame["prompt_tokens"].sum() == pytest.approx(100 * 64)
    assert panel.frame["completion_tokens"].sum() == pytest.approx(128)
    counts = panel.frame["choice"].value_counts()
    assert dict(counts) == {"pampers": 64, "huggies": 32, "neither": 32}
    with Store(tmp_path / "s.sqlite") as store:
        assert len(store) == 128


def test_a_server_that_ignores_n_is_found_out_and_what_came_is_kept(
    fake_server, complete, tmp_path
):
    fake_server.answer = lambda body, call: (200, complete("Pampers", PAMPERS), {})
    backend = OpenAIBackend("fake-1", base_url=fake_server.url, n=4)
    with pytest.raises(BackendError, match=r"1 of n=4 answers.*--n 1; what came is stored"):
        simulate(STUDY, backend, runs=8, store=tmp_path / "s.sqlite", probe=False)
    assert 1 <= len(fake_server.requests) <= 4
    with Store(tmp_path / "s.sqlite") as store:
        assert len(store) == len(fake_server.requests)


def test_the_same_backend_can_be_used_again_and_in_another_loop(backend, fake_server, complete):
    fake_server.answer = lambda body, call: (200, complete("Pampers", PAMPERS), {})
    for seed in (1, 2):
        panel = simulate(STUDY, backend, runs=1, seed=seed, store=":memory:", probe=False)
        assert panel.statuses["ok"] == 16


def test_a_backend_whose_probe_failed_can_be_used_again(backend, fake_server, complete):
    # Its connections belonged to a loop that has ended: they must be closed with it.
    fake_server.answer = lambda body, call: (200, complete("Pampers"), {})
    with pytest.raises(BackendError, match="no log-probabilities"):
        simulate(STUDY, backend, runs=1, store=":memory:")
    fake_server.answer = lambda body, call: (200, complete("Pampers", PAMPERS), {})
    assert simulate(STUDY, backend, runs=1, store=":memory:").statuses["ok"] == 16


def test_connections_can_be_closed_while_a_call_is_under_way(fake_server, complete):
    # A second Ctrl-C does that; the call then ends without a traceback of its own.
    from llmdemand.simulation.backends.wire.clients import Clients
    from llmdemand.simulation.backends.wire.received import BrokenOff
    from llmdemand.simulation.backends.wire.server import Server

    def answer(body, call):
        if call == 1:
            return 200, fake_server.drip(complete("Pampers"), 30), {}
        return 200, complete("Pampers"), {}

    async def main():
        clients = Clients(Server(fake_server.url, timeout=1.0))
        form = await clients.form("/chat/completions", "m")
        first = asyncio.ensure_future(clients.post(form, b"{}"))
        while not fake_server.requests:
            await asyncio.sleep(0.01)
        await clients.close()
        with pytest.raises(BrokenOff):
            await first
        assert (await clients.post(form, b"{}")).status == 200, "the next call opens a new one"
        await clients.close()

    fake_server.answer = answer
    asyncio.run(main())
