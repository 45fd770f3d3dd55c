"""What a server says in place of an answer, over real HTTP: empty accounts, filters, nonsense."""

import gzip
import json
import time
import zlib

import pytest

from llmdemand import load_study, simulate
from llmdemand.errors import BackendError
from llmdemand.simulation.backends.openai import OpenAIBackend
from llmdemand.simulation.backends.wire import clients
from llmdemand.simulation.backends.wire.troubles import Trouble

STUDY = load_study("pampers")


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def backend(fake_server, quick_retries):
    return OpenAIBackend("fake-1", base_url=fake_server.url, timeout=5)


@pytest.fixture
def good(complete):
    return complete("Pampers", [("Pampers", -0.4, {"Pampers": -0.4, "H": -1.6})])


def ask(backend, **options):
    return simulate(STUDY, backend, **{"runs": 1, "probe": False, "store": ":memory:", **options})


QUOTA = "You exceeded your current quota, please check your plan and billing details."
EMPTY = {
    "its code": (429, {"code": "insufficient_quota", "message": "no"}),
    "its type": (429, {"type": "insufficient_quota", "code": "429", "message": "no"}),
    "its words alone": (429, {"type": "throttling_error", "message": QUOTA}),
    "litellm's": (
        429,
        {
            "message": f"litellm.RateLimitError: RateLimitError: OpenAIException - {QUOTA}",
            "type": "throttling_error",
            "param": None,
            "code": "429",
        },
    ),
    "payment": (402, {"message": "Payment required"}),
    "credits": (
        400,
        {"type": "invalid_request_error", "message": "Your credit balance is too low"},
    ),
    "inside of a success": (200, {"code": 429, "message": "Insufficient credits. Add more."}),
}


@pytest.mark.parametrize("probe", [True, False])
@pytest.mark.parametrize(("status", "error"), EMPTY.values(), ids=EMPTY)
def test_an_empty_account_is_not_asked_again_whoever_says_so_and_how(
    backend, fake_server, status, error, probe
):
    fake_server.answer = lambda body, call: (status, {"error": error}, {})
    with pytest.raises(BackendError, match="add credit, then run the same command") as caught:
        ask(backend, probe=probe, concurrency=1)
    assert len(fake_server.requests) == 1 and "\n" not in str(caught.value)


PASSING = {
    "a limit that says when": f"{QUOTA} Please retry in 1.5s.",
    "a limit per minute": "Rate limit reached on tokens per min. Add a payment method to your "
    "account to increase it: https://platform.openai.com/account/billing",
}


@pytest.mark.parametrize("words", PASSING.values(), ids=PASSING)
def test_what_only_sounds_like_an_empty_account_is_asked_again(backend, fake_server, good, words):
    refused = (429, {"error": {"message": words, "type": "requests"}}, {})
    fake_server.answer = lambda body, call: refused if call == 1 else (200, good, {})
    assert ask(backend).statuses["ok"] == 16


def test_three_equal_refusals_are_said_once_and_patience_is_short_then(fake_server, monkeypatch):
    monkeypatch.setattr("llmdemand.simulation.calls.pool.random.uniform", lambda a, b: 0.05)
    number = iter(range(10_000))

    def answer(body, call):
        return 429, {"error": {"message": f"account is on hold, request {next(number)}"}}, {}

    fake_server.answer = answer
    backend = OpenAIBackend("fake-1", base_url=fake_server.url)
    begun = time.monotonic()
    # The probe as well as the study, and by the one option.
    with (
        pytest.warns(RuntimeWarning, match="on hold.*3rd time.*Ctrl-C") as told,
        pytest.raises(BackendError, match=r"on hold, request \d+ \(\d+ attempts"),
    ):
        ask(backend, patience=5, probe=True)
    assert len([w for w in told if w.category is RuntimeWarning]) == 1
    assert 0.5 < time.monotonic() - begun < 4, "a fifth of the patience"


@pytest.mark.parametrize("probe", [True, False])
def test_patience_holds_for_the_probe_too(fake_server, quick_retries, probe):
    fake_server.answer = lambda body, call: (503, b"", {"Retry-After": "0.05"})
    begun = time.monotonic()
    with pytest.raises(BackendError, match="answered 503"):
        ask(OpenAIBackend("fake-1", base_url=fake_server.url), patience=0.4, probe=probe)
    assert time.monotonic() - begun < 5


AZURE = (
    "The response was filtered due to the prompt triggering Azure OpenAI's content management "
    "policy. Please modify your prompt and retry."
)
FILTERS = {
    "azure's": (400, {"code": "content_filter", "message": "filtered"}),
    "azure's inner one": (
        400,
        {"code": "400", "message": "no", "innererror": {"code": "ResponsibleAIPolicyViolation"}},
    ),
    "litellm's": (
        400,
        {
            "message": f"litellm.BadRequestError: litellm.ContentPolicyViolationError: {AZURE}",
            "type": None,
            "param": None,
            "code": "400",
        },
    ),
    "by its words": (400, {"message": AZURE, "type": "invalid_request_error", "code": "400"}),
    "openai's": (
        400,
        {"message": "Invalid prompt: flagged as potentially violating our usage policy."},
    ),
    "inside of a success": (200, {"code": "content_filter", "message": "filtered"}),
}


@pytest.mark.parametrize(("status", "error"), FILTERS.values(), ids=FILTERS)
def test_a_filter_refuses_a_row_and_not_the_study(backend, fake_server, good, status, error):
    def answer(body, call):
        return (status, {"error": error, "choices": None}, {}) if call == 3 else (200, good, {})

    fake_server.answer = answer
    panel = ask(backend, concurrency=1)
    assert panel.statuses["refusal"] == 1 and panel.statuses["ok"] == 15
    assert len(fake_server.requests) == 16


def test_an_error_that_names_a_filter_as_a_field_is_no_refusal(backend, fake_server):
    error = {"message": "Unknown parameter: content_filter", "code": "unknown_parameter"}
    fake_server.answer = lambda body, call: (400, {"error": error}, {})
    with pytest.raises(BackendError, match=r"answered 400.*Unknown parameter"):
        ask(backend)


INSIDE = {
    "no choices": {"choices": None, "error": {"message": "overloaded", "code": 503}},
    "empty choices": {"choices": [], "error": {"message": "overloaded", "code": "503"}},
    "no output": {"output": None, "error": {"message": "overloaded", "code": "503"}},
    "in the choice": {
        "choices": [
            {
                "index": 0,
                "finish_reason": "error",
                "message": {"content": ""},
                "error": {"message": "overloaded", "code": 502},
            }
        ]
    },
}


@pytest.mark.parametrize("raw", INSIDE.values(), ids=INSIDE)
def test_an_error_inside_of_a_success_is_that_error(backend, fake_server, good, raw):
    fake_server.answer = lambda body, call: (200, raw if call <= 2 else good, {})
    assert ask(backend).statuses["ok"] == 16
    assert len(fake_server.requests) == 18
    text = json.loads(json.dumps(raw).replace("502", "400").replace("503", "400"))
    fake_server.answer = lambda body, call: (200, text, {})
    with pytest.raises(BackendError, match="answered 400 to model 'fake-1': overloaded"):
        ask(backend)


def test_an_error_that_is_a_text_is_told(backend, fake_server):
    raw = {"error": "model not found", "choices": None}
    fake_server.answer = lambda body, call: (200, raw, {})
    with pytest.raises(BackendError, match="model not found"):
        ask(backend)


DIGITS, DEEP = "7" * 5000, 100_000


def bodies(good):
    whole = json.dumps(good)
    yield "an integer of 5,000 digits", whole.replace('"created": 1', f'"created": {DIGITS}')
    yield "the same in its usage", whole.replace('"prompt_tokens": 7', f'"prompt_tokens": {DIGITS}')
    yield "a deep list", "[" * DEEP + "]" * DEEP
    yield "a deep object", '{"a":' * DEEP + "1" + "}" * DEEP
    yield "a deep field", whole[:-1] + ', "x": ' + "[" * DEEP + "]" * DEEP + "}"
    yield "usage that is a list", json.dumps({**good, "usage": [1, 2]})
    yield "choices that are texts", json.dumps({**good, "choices": ["Pampers"]})
    yield "choices in a table", json.dumps({**good, "choices": {"0": "Pampers"}})
    yield "log-probabilities in a list", whole.replace('"logprobs": {', '"logprobs": [{', 1) + "]"
    yield "nothing", "null"


@pytest.mark.parametrize("n", [1, 2])
@pytest.mark.parametrize("which", range(10))
@pytest.mark.parametrize("status", [200, 400])
def test_bodies_that_are_no_answer_end_the_run_in_one_sentence(
    fake_server, quick_retries, good, which, status, n
):
    _, text = list(bodies(good))[which]
    fake_server.answer = lambda body, call: (status, text.encode(), {})
    backend = OpenAIBackend("fake-1", base_url=fake_server.url, n=n)
    with pytest.raises(BackendError) as caught:
        ask(backend, runs=4, patience=0)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 900


@pytest.mark.parametrize("digits", [25, 400, 4000])
def test_integers_that_are_merely_large_are_no_trouble(backend, fake_server, good, digits):
    text = json.dumps(good).replace('"created": 1', f'"created": {"7" * digits}')
    fake_server.answer = lambda body, call: (200, text.encode(), {})
    assert ask(backend, store="s.sqlite").statuses["ok"] == 16
    assert ask(backend, store="s.sqlite").statuses["ok"] == 16
    assert len(fake_server.requests) == 16


@pytest.mark.parametrize("depth", [50, 300, 600, 900, 950, 980])
def test_depth_up_to_pythons_own_limit_is_an_answer_or_one_sentence(
    backend, fake_server, good, depth
):
    text = json.dumps(good)[:-1] + ', "x": ' + "[" * depth + "]" * depth + "}"
    fake_server.answer = lambda body, call: (200, text.encode(), {})
    try:
        assert ask(backend, store="s.sqlite", patience=0).statuses["ok"] == 16
    except BackendError as error:
        assert "\n" not in str(error) and depth > 100


@pytest.mark.parametrize("how", ["endless", "packed"])
@pytest.mark.parametrize("status", [200, 500])
def test_a_body_without_end_is_left_before_memory_is_gone(
    backend, fake_server, monkeypatch, how, status
):
    monkeypatch.setattr(clients, "MOST_BYTES", 4 << 20)
    sent = []

    def endless(handler, stopping):
        handler.send_response(status)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        part = b" " * 65536
        while sum(sent) < 64 << 20:
            handler.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))
            handler.wfile.flush()
            sent.append(len(part))

    packed = gzip.compress(b" " * (64 << 20))
    headers = {"Content-Encoding": "gzip"}
    fake_server.answer = lambda body, call: (
        (status, endless, {}) if how == "endless" else (status, packed, headers)
    )
    with pytest.raises(BackendError, match="sent more than 4 MB in place of an answer"):
        ask(backend, concurrency=1)
    assert len(fake_server.requests) == 1 and sum(sent) < 32 << 20


def test_packed_answers_are_unpacked(backend, fake_server, good):
    data = gzip.compress(json.dumps(good).encode())
    fake_server.answer = lambda body, call: (200, data, {"Content-Encoding": "gzip"})
    assert ask(backend).statuses["ok"] == 16
    broken = zlib.compress(b"x")
    fake_server.answer = lambda body, call: (200, broken, {"Content-Encoding": "gzip"})
    with pytest.raises(BackendError, match="broke off"):
        ask(backend, patience=0)


def test_a_slow_server_is_given_longer_and_asked_once_at_a_time_again(
    fake_server, good, quick_retries
):
    times, late = [], []

    def answer(body, call):
        times.append(time.monotonic())
        # The first four take longer than they are given; those asked again, twice as long.
        if call <= 4:
            time.sleep(0.6)
        elif body["seed"] in {b["seed"] for b in fake_server.requests[:4]}:
            late.append(fake_server.in_flight)
            again.append(1)
            most.append(len(again))
            time.sleep(0.45)
            again.pop()
        return 200, good, {}

    again, most = [], []
    fake_server.answer = answer
    backend = OpenAIBackend("fake-1", base_url=fake_server.url, timeout=0.3)
    panel = ask(backend, concurrency=4)
    assert panel.statuses["ok"] == 16
    # 0.45 s is more than they were given at first: without a longer time none would be answered.
    assert len(fake_server.requests) == 16 + 4
    assert max(most) == 1, "one retry at a time"


def test_a_server_that_is_slow_before_its_first_answer_is_not_taken_for_absent(
    fake_server, good, quick_retries, monkeypatch
):
    from llmdemand.simulation.calls.pool import Retries

    monkeypatch.setattr(
        "llmdemand.simulation.runner.Retries",
        lambda patience, say: Retries(patience, first=0.1, say=say),
    )

    def answer(body, call):
        if call == 1:
            time.sleep(0.5)
        return 200, good, {}

    fake_server.answer = answer
    backend = OpenAIBackend("fake-1", base_url=fake_server.url, timeout=0.3)
    assert ask(backend, concurrency=1).statuses["ok"] == 16


def test_words_of_a_server_are_one_line_and_short():
    said = Trouble.of({"message": "a" * 900 + "\nb"}, 500)
    assert said.words == "a" * 200 and said.passing and not said.crowded
    assert Trouble.of({"code": {}, "type": [], "message": {"a": 1}}, 500).words == "no reason given"
    assert Trouble.of({"detail": "gone"}, 404).words == "gone"
