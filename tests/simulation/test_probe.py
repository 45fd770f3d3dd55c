"""The probe finds out what a server returns, before a study is paid for."""

import json
import math
import random
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from llmdemand import Panel, load_study, simulate
from llmdemand.errors import BackendError
from llmdemand.simulation.backends.openai import OpenAIBackend
from llmdemand.simulation.backends.recorded import RecordedBackend
from llmdemand.simulation.storing.records import Source
from llmdemand.simulation.storing.store import Store

STUDY = load_study("pampers")
COOL = replace(STUDY, sampling=replace(STUDY.sampling, temperature=0.5))
LOGITS = {"Pampers": 1.0, "Huggies": 0.2, "neither": -1.5, "Well": -0.4}


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def log_softmax(logits):
    whole = math.log(math.fsum(math.exp(v) for v in logits.values()))
    return {k: v - whole for k, v in logits.items()}


def model_server(complete, before, change=lambda raw, call: raw):
    """A model of fixed logits that honours temperature and seed.

    It records log-probabilities before the temperature (llama.cpp, vLLM, OpenAI) or after.
    """

    def answer(body, call):
        sampled = log_softmax({k: v / body["temperature"] for k, v in LOGITS.items()})
        listed = log_softmax(LOGITS) if before else sampled
        chance = random.Random(body["seed"])
        token = chance.choices(list(sampled), [math.exp(v) for v in sampled.values()])[0]
        # "Well" decides nothing: the answer then goes on, and ends.
        raw = complete(token, [(token, listed[token], listed)])
        raw["usage"] = {"prompt_tokens": 100, "completion_tokens": 1}
        return 200, change(raw, call), {}

    return answer


@pytest.fixture
def backend(fake_server, quick_retries):
    return OpenAIBackend("fake-1", base_url=fake_server.url, timeout=5)


def probed(backend, study=STUDY, **options):
    """The panel and what the probe found."""
    panel = simulate(study, backend, **{"runs": 1, "store": ":memory:", **options})
    return panel, panel.provenance["probe"]


@pytest.mark.parametrize("before", [True, False])
def test_it_tells_log_probabilities_before_the_temperature_from_those_after(
    backend, fake_server, complete, before
):
    fake_server.answer = model_server(complete, before)
    _, found = probed(backend)
    assert found["before_temperature"] is before
    assert found["slope"] == pytest.approx(1.0 if before else 0.5)
    assert [body["temperature"] for body in fake_server.requests[:3]] == [1, 2, 1]


@pytest.mark.parametrize("before", [True, False])
def test_belief_at_another_temperature_is_the_same_from_both_kinds_of_servers(
    backend, fake_server, complete, before
):
    fake_server.answer = model_server(complete, before)
    panel, _ = probed(backend, COOL, runs=4)
    truth = log_softmax({k: v / 0.5 for k, v in LOGITS.items() if k != "Well"})
    decided = panel.usable
    assert len(decided) > 32
    for alternative, label in (("pampers", "Pampers"), ("huggies", "Huggies")):
        beliefs = decided[f"belief_{alternative}"]
        assert beliefs.tolist() == pytest.approx([math.exp(truth[label])] * len(beliefs))


@pytest.mark.parametrize("before", [True, False])
def test_what_it_found_is_stored_and_holds_for_resumes_and_replays(
    backend, fake_server, complete, tmp_path, before
):
    fake_server.answer = model_server(complete, before)
    path = tmp_path / "s.sqlite"
    first, found = probed(backend, COOL, store=path)
    assert len(fake_server.requests) == 3 + 16
    first.write(tmp_path / "panel.parquet")
    assert Panel.read(tmp_path / "panel.parquet").provenance["probe"] == found
    with Store(path) as store:
        assert store.probe(Source.of(backend)) == found
    again, known = probed(backend, COOL, store=path)
    assert known == found and len(fake_server.requests) == 19, "nothing is probed twice"
    more, _ = probed(backend, COOL, runs=2, store=path)
    assert len(fake_server.requests) == 19 + 16
    replayed = simulate(COOL, RecordedBackend(path), runs=1)
    for panel in (again, replayed):
        pd.testing.assert_frame_equal(panel.frame, first.frame)
    beliefs = more.usable["belief_pampers"]
    assert np.allclose(beliefs, first.usable["belief_pampers"].iloc[0])


def test_it_is_left_out_on_request_and_where_nothing_is_missing(
    backend, fake_server, complete, tmp_path
):
    fake_server.answer = model_server(complete, True)
    path = tmp_path / "s.sqlite"
    panel = simulate(STUDY, backend, runs=1, store=path, probe=False)
    assert "probe" not in panel.provenance and len(fake_server.requests) == 16
    simulate(STUDY, backend, runs=1, store=path)
    assert len(fake_server.requests) == 16
    simulate(STUDY, backend, runs=2, store=path)
    assert len(fake_server.requests) == 16 + 3 + 16


def test_a_server_without_log_probabilities_is_refused_after_exactly_three_calls(
    backend, fake_server, complete, tmp_path
):
    fake_server.answer = lambda body, call: (200, complete("Pampers"), {})
    for attempt in (1, 2):
        with pytest.raises(BackendError, match=r"returns no log-probabilities.*choice_only"):
            simulate(STUDY, backend, runs=5, store=tmp_path / "s.sqlite")
        assert len(fake_server.requests) == 3 * attempt, "a refused server is looked at again"
    with Store(tmp_path / "s.sqlite") as store:
        assert len(store) == 0


@pytest.mark.parametrize(
    ("listed", "message"),
    [
        ({"Pampers": -0.1, "Huggies": -0.2}, "largest sum of probabilities is 1.724"),
        ({"Pampers": 0.5, "Huggies": -1.0}, "positive or missing"),
        ({"Pampers": None, "Huggies": -1.0}, "positive or missing"),
    ],
    ids=["sum above one", "positive", "missing"],
)
def test_numbers_that_are_no_log_probabilities_are_refused(
    backend, fake_server, complete, listed, message
):
    raw = complete("Pampers", [("Pampers", -0.1, listed)])
    fake_server.answer = lambda body, call: (200, raw, {})
    with pytest.raises(BackendError, match=message):
        simulate(STUDY, backend, runs=1, store=":memory:")
    assert len(fake_server.requests) == 3


def test_sentinels_are_counted_and_not_taken_for_evidence(backend, fake_server, complete):
    def change(raw, call):
        listed = raw["choices"][0]["logprobs"]["content"][0]["top_logprobs"]
        listed += [{"token": f"no {k}", "logprob": -9999.0, "bytes": None} for k in range(2)]
        return raw

    fake_server.answer = model_server(complete, True, change)
    _, found = probed(backend)
    assert found["sentinels"] == 6
    assert found["before_temperature"] is True and found["slope"] == pytest.approx(1.0)


def test_an_unclear_temperature_is_refused_only_where_it_matters(backend, fake_server, complete):
    # A server that ignores the temperature in part: neither 1 nor 1/2.
    def answer(body, call):
        bent = {k: v / body["temperature"] ** 0.4 for k, v in LOGITS.items()}
        listed = log_softmax(bent)
        return 200, complete("Pampers", [("Pampers", listed["Pampers"], listed)]), {}

    fake_server.answer = answer
    _, found = probed(backend)
    assert found["before_temperature"] is None and 0.7 < found["slope"] < 0.8
    with pytest.raises(BackendError, match=r"cannot be told.*ask at temperature 1"):
        probed(backend, COOL)


def test_an_unclear_temperature_is_refused_from_the_store_too(
    backend, fake_server, complete, tmp_path
):
    def answer(body, call):
        bent = {k: v / body["temperature"] ** 0.4 for k, v in LOGITS.items()}
        listed = log_softmax(bent)
        return 200, complete("Pampers", [("Pampers", listed["Pampers"], listed)]), {}

    fake_server.answer = answer
    probed(backend, store=tmp_path / "s.sqlite")
    with pytest.raises(BackendError, match=r"ask at temperature 1"):
        probed(backend, COOL, store=tmp_path / "s.sqlite")


@pytest.mark.parametrize(
    ("token", "text", "expected"),
    [
        ("\u0120Pampers", " Pampers", True),
        ("\u2581Pampers", " Pampers", True),
        (" Pampers", " Pampers", False),
        ("\u0120Pampers", "\u0120Pampers", False),
    ],
    ids=["byte-level", "sentencepiece", "none", "in the text itself"],
)
def test_signs_of_the_vocabulary_are_noticed(backend, fake_server, complete, token, text, expected):
    raw = complete(text, [(token, -0.4, {token: -0.4})])
    for entry in raw["choices"][0]["logprobs"]["content"]:
        entry["bytes"] = entry["top_logprobs"][0]["bytes"] = None
    fake_server.answer = lambda body, call: (200, raw, {})
    panel, found = probed(backend)
    assert found["glyphs"] is expected
    if expected:
        assert set(panel.frame["choice"]) == {"pampers"}, "and are read as spaces"


def test_it_sees_whether_the_same_seed_gives_the_same_answer(backend, fake_server, complete):
    fake_server.answer = model_server(complete, True)
    _, found = probed(backend)
    assert found["deterministic"] is True and found["difference"] == 0

    def drifting(raw, call):
        entry = raw["choices"][0]["logprobs"]["content"][0]
        for candidate in entry["top_logprobs"]:
            candidate["logprob"] -= 0.01 * call
        raw["choices"][0]["message"]["content"] += "!" * call
        return raw

    fake_server.requests.clear()
    fake_server.answer = model_server(complete, True, drifting)
    _, found = probed(backend)
    assert found["deterministic"] is False
    assert found["difference"] == pytest.approx(0.02)


def test_it_sees_kept_prompts_versions_and_what_it_used_itself(backend, fake_server, complete):
    def change(raw, call):
        raw["usage"]["prompt_tokens_details"] = {"cached_tokens": 0 if call == 1 else 64}
        raw["system_fingerprint"], raw["model"] = "fp_1", "fake-1-2026-01-01"
        return raw

    fake_server.answer = model_server(complete, True, change)
    _, found = probed(backend)
    assert found["cached_tokens"] == 64
    assert (found["fingerprint"], found["snapshot"]) == ("fp_1", "fake-1-2026-01-01")
    assert (found["prompt_tokens"], found["completion_tokens"]) == (300, 3)
    assert (found["asked"], found["listed"]) == (20, 4)
    json.dumps(found, allow_nan=False)


def test_it_is_short_and_its_seed_is_no_runs_seed(backend, fake_server, complete):
    fake_server.answer = model_server(complete, True)
    probed(backend, runs=3)
    first, hot, again = fake_server.requests[:3]
    assert (first["max_tokens"], hot["max_tokens"]) == (16, 1)
    assert first == again
    assert first["seed"] not in {body["seed"] for body in fake_server.requests[3:]}


def test_passing_troubles_do_not_end_it(backend, fake_server, complete):
    good = model_server(complete, True)

    def answer(body, call):
        return (503, b"", {}) if call in (1, 3) else good(body, call)

    fake_server.answer = answer
    _, found = probed(backend)
    assert found["before_temperature"] is True and len(fake_server.requests) == 2 + 3 + 16


def test_a_refused_key_ends_it_at_once(backend, fake_server):
    fake_server.answer = lambda body, call: (401, {"error": {"message": "no"}}, {})
    with pytest.raises(BackendError, match="answered 401"):
        simulate(STUDY, backend, runs=1, store=":memory:")
    assert len(fake_server.requests) == 1


def test_its_summary_says_what_it_found(backend, fake_server, complete):
    import asyncio

    from llmdemand.simulation.probe import probe

    async def look():
        try:
            return await probe(backend, STUDY)
        finally:
            await backend.close()

    fake_server.answer = model_server(complete, False)
    text = asyncio.run(look()).summary()
    assert "after it (slope 0.50)" in text and "4 listed, 20 asked for" in text
    assert "PROBLEM" not in text
    fake_server.answer = lambda body, call: (200, complete("Pampers"), {})
    assert "PROBLEM: it returns no log-probabilities" in asyncio.run(look()).summary()
