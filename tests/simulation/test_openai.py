"""The openai backend over real HTTP, against a server that behaves and one that does not."""

import math

import pytest

from llmdemand import load_study, simulate
from llmdemand.errors import BackendError, UsageError
from llmdemand.simulation.openai import OpenAIBackend

STUDY = load_study("pampers")
CANARY = "sk-canary-1234567890"
PAMPERS = [("Pampers", math.log(0.7), {"Pampers": math.log(0.7), "H": math.log(0.2)})]


@pytest.fixture
def backend(fake_server, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", CANARY)
    # The client waits between its own retries of transport errors; tests need not.
    monkeypatch.setattr("openai._base_client.BaseClient._calculate_retry_timeout", lambda *a: 0.0)
    return OpenAIBackend("fake-1", base_url=fake_server.url)


def test_a_study_over_http(backend, fake_server, complete):
    fake_server.answer = lambda body, call: (200, complete("Pampers", PAMPERS), {})
    panel = simulate(STUDY, backend, runs=2, seed=1)
    assert len(fake_server.requests) == 32
    assert panel.frame["belief_pampers"].tolist() == pytest.approx([0.7 / 0.9] * 32)
    assert set(panel.frame["model"]) == {"fake-1"}
    assert panel.frame["prompt_tokens"].eq(7).all()
    body = fake_server.requests[0]
    assert body["logprobs"] is True and body["top_logprobs"] == 20
    assert body["temperature"] == 1.0 and body["top_p"] == 1.0
    assert len({r["seed"] for r in fake_server.requests}) == 32
    assert [m["role"] for m in body["messages"]] == ["system", "user"]


def test_transport_errors_are_retried_and_answers_are_not(backend, fake_server, complete):
    def answer(body, call):
        if call == 1:
            return 429, {"error": {"message": "slow down"}}, {"Retry-After": "0"}
        if call == 2:
            return 500, {"error": {"message": "oops"}}, {}
        return 200, complete("I'm sorry, I can't.", [("I", -0.1, {"I": -0.1})]), {}

    fake_server.answer = answer
    panel = simulate(STUDY, backend, runs=1, seed=1)
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
    panel = simulate(STUDY, backend, runs=1, seed=1)
    assert panel.statuses[status] == 16


def test_refused_requests_say_what_the_server_said_without_the_key(backend, fake_server):
    message = f"Incorrect API key provided: {CANARY}."
    fake_server.answer = lambda body, call: (401, {"error": {"message": message}}, {})
    with pytest.raises(BackendError, match=r"answered 401 to model 'fake-1': Incorrect") as caught:
        simulate(STUDY, backend, runs=1, seed=1)
    assert CANARY not in str(caught.value)


@pytest.mark.parametrize(
    "answer",
    [
        (200, b"<html>hello</html>", {"Content-Type": "text/html"}),
        (200, b'{"choices": [', {}),
        (200, {"choices": []}, {}),
        (404, b"", {}),
    ],
)
def test_what_is_no_chat_completions_server_is_said_in_one_line(backend, fake_server, answer):
    fake_server.answer = lambda body, call: (answer[0], answer[1], dict(answer[2]))
    with pytest.raises(BackendError) as caught:
        simulate(STUDY, backend, runs=1, seed=1)
    assert "\n" not in str(caught.value)


def test_the_key_reaches_the_server_and_no_file(backend, fake_server, complete, tmp_path):
    fake_server.answer = lambda body, call: (200, complete("Pampers", PAMPERS), {})
    panel = simulate(STUDY, backend, runs=1, seed=1, store=tmp_path / "responses.jsonl")
    panel.write(tmp_path / "panel.parquet")
    assert fake_server.headers[0]["authorization"] == f"Bearer {CANARY}"
    for path in tmp_path.iterdir():
        assert CANARY.encode() not in path.read_bytes()


def test_no_key_and_models_without_log_probabilities_are_refused_before_any_call():
    with pytest.raises(UsageError, match="no OPENAI_API_KEY"):
        OpenAIBackend("gpt-4o")


def test_reasoning_models_are_refused_before_any_call(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", CANARY)
    with pytest.raises(UsageError, match="returns no log-probabilities"):
        OpenAIBackend("o3-mini")


def test_nobody_at_home(monkeypatch):
    monkeypatch.setattr("openai._base_client.BaseClient._calculate_retry_timeout", lambda *a: 0.0)
    backend = OpenAIBackend("x", base_url="http://127.0.0.1:9/v1")
    with pytest.raises(BackendError, match="could not be reached"):
        simulate(STUDY, backend, runs=1, seed=1)
