"""Models that think: sampled thoughts, forced answers, their mean and variance."""

import asyncio
import math

import numpy as np
import pytest

from llmdemand import fit_demand, load_study, simulate
from llmdemand.belief.readers import to_compact
from llmdemand.belief.tokens import Response, Token
from llmdemand.core.panel import Panel
from llmdemand.core.sampling import Thinking
from llmdemand.core.study import Study
from llmdemand.errors import StudyError, TransportError, UsageError
from llmdemand.simulation.backend import Traits
from llmdemand.simulation.backends.openai import OpenAIBackend
from llmdemand.simulation.backends.synthetic import SyntheticBackend
from llmdemand.simulation.backends.thinking import ThinkingBackend
from llmdemand.simulation.requests import requests
from llmdemand.simulation.run import estimate

THOUGHTS = 4
STUDY = Study.from_dict(
    {
        **load_study("pampers").to_dict(),
        "sampling": {
            "max_tokens": 5,
            "thinking": {"thoughts": THOUGHTS, "max_tokens": 30, "answer": "\nAnswer:"},
        },
    }
)
# What a thought leads to: the belief in Pampers after it.
BELIEFS = {"cheap": 0.9, "dear": 0.2, "": 0.5}


class Thinker:
    """Thinks one of three things, and answers by what it thought."""

    name, model, settings, raw_logprobs = "thinker", "t", {}, True
    traits = Traits(concurrency=8, per_call=3)

    def __init__(self, fail_at=None):
        self.asked, self.fail_at = [], fail_at

    async def complete(self, asked):
        for request in asked:
            self.asked.append(request)
            if len(self.asked) == self.fail_at:
                raise TransportError("broke off")
            await asyncio.sleep(0)
            yield to_compact(self.answer(request))

    def answer(self, request):
        rng = np.random.default_rng(request.seed)
        usage = {"prompt_tokens": 10, "completion_tokens": 2}
        if request.format is None:
            thought = list(BELIEFS)[rng.integers(3)]
            return Response((), thought, "stop", usage=usage)
        thought = request.begun.removeprefix("<think>\n").partition("</think>")[0]
        p = BELIEFS[thought]
        word = "Pampers" if rng.random() < p else "Huggies"
        listed = {" Pampers": math.log(p), " Huggies": math.log(1 - p)}
        return Response((Token.of(f" {word}", listed[f" {word}"], listed),), word, usage=usage)

    def parse(self, raw):
        from llmdemand.belief.readers import read_response

        return read_response(raw)

    async def close(self):
        pass


@pytest.fixture(scope="module")
def panel():
    return simulate(STUDY, Thinker(), runs=30, seed=1)


def test_belief_is_the_mean_over_thoughts_and_their_variance_is_kept(panel):
    frame = panel.frame
    assert (frame["thoughts"] == THOUGHTS).all() and (frame["status"] == "ok").all()
    # Means of four values out of .9, .2, .5, and their sample variances, are a finite set.
    import itertools

    possible = {
        (round(float(np.mean(c)), 6), round(float(np.var(c, ddof=1)), 6))
        for c in itertools.product(BELIEFS.values(), repeat=THOUGHTS)
    }
    found = set(
        zip(frame["belief_pampers"].round(6), frame["between_pampers"].round(6), strict=True)
    )
    assert found <= possible and len(found) > 5
    mean = np.mean(list(BELIEFS.values()))
    se = frame["belief_pampers"].std() / math.sqrt(len(frame))
    assert abs(frame["belief_pampers"].mean() - mean) < 4 * se
    # The variance of the run's belief is the between-thought variance over K.
    assert frame["belief_pampers"].var() == pytest.approx(
        frame["between_pampers"].mean() / THOUGHTS, rel=0.25
    )
    share = (frame["choice"] == "pampers").mean()
    assert abs(share - mean) < 4 * math.sqrt(mean * (1 - mean) / len(frame))


def test_the_panel_is_read_back_and_fitted(panel, tmp_path):
    panel.write(tmp_path / "p.parquet")
    again = Panel.read(tmp_path / "p.parquet")
    assert again.study.sampling.thinking == Thinking(THOUGHTS, 30, answer="\nAnswer:")
    assert again.frame["between_huggies"].equals(panel.frame["between_huggies"])
    assert math.isfinite(fit_demand(again, "belief").price_sensitivity)


def test_what_is_asked_of_the_model():
    backend = Thinker()
    simulate(STUDY, backend, runs=1, seed=1)
    thoughts = [r for r in backend.asked if r.format is None]
    answers = [r for r in backend.asked if r.format is not None]
    assert len(thoughts) == len(answers) == 16 * THOUGHTS
    assert len({r.seed for r in backend.asked}) == 32 * THOUGHTS
    assert {r.begun for r in thoughts} == {"<think>\n"}
    assert all(r.sampling.stop == ("</think>",) and r.sampling.max_tokens == 30 for r in thoughts)
    assert {r.begun for r in answers} <= {f"<think>\n{t}</think>\nAnswer:" for t in BELIEFS}


def test_tokens_of_thoughts_are_counted(panel):
    assert (panel.frame["prompt_tokens"] == 20 * THOUGHTS).all()
    assert (panel.frame["completion_tokens"] == 4 * THOUGHTS).all()
    expected = estimate(STUDY, Thinker(), runs=1)
    assert expected.completion_tokens[1] == 16 * THOUGHTS * (30 + 5)


def test_a_call_that_fails_does_not_throw_away_the_thoughts_before_it():
    asked = next(requests(STUDY, 1, seed=1))
    plain = Thinker()
    backend = Thinker(fail_at=THOUGHTS + 3)
    thinking = ThinkingBackend(backend, STUDY.sampling.thinking)

    async def once(which):
        return [raw async for raw in which.complete([asked])]

    with pytest.raises(TransportError):
        asyncio.run(once(thinking))
    again = asyncio.run(once(thinking))
    assert again == asyncio.run(once(ThinkingBackend(plain, STUDY.sampling.thinking)))
    # Two answers were there, the third failed: four thoughts, then answers three and four.
    assert len(backend.asked) == 2 * THOUGHTS + 1


def test_one_thought_without_belief_leaves_the_run_without():
    class Refuses(Thinker):
        def answer(self, request):
            if request.format is not None and "dear" in request.begun:
                return Response((), "I'm sorry, I can't.", "stop")
            return super().answer(request)

    frame = simulate(STUDY, Refuses(), runs=20, seed=1).frame
    assert set(frame["status"]) == {"ok", "refusal"}
    assert frame.loc[frame["status"] == "refusal", "belief_pampers"].isna().all()


def test_openai_is_refused_before_a_call_and_vllm_is_told_to_continue(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-x")
    with pytest.raises(UsageError, match="OpenAI continues no answer that is begun"):
        simulate(STUDY, OpenAIBackend("gpt-4o"), runs=1, store=":memory:")
    served = OpenAIBackend("m", base_url="http://127.0.0.1:1/v1")
    from dataclasses import replace

    request = replace(next(requests(STUDY, 1, 1)), begun="<think>")
    path, body = served.body(request)
    assert path == "/chat/completions" and body["continue_final_message"] is True
    assert body["messages"][-1] == {"role": "assistant", "content": "<think>"}


@pytest.mark.parametrize(
    "thinking",
    [{"thoughts": 0}, {"max_tokens": 0}, {"answer": ""}, {"thought": 3}, {"thoughts": "5"}],
)
def test_impossible_thinking_is_an_error_on_loading(thinking):
    data = STUDY.to_dict()
    with pytest.raises(StudyError, match="think"):
        Study.from_dict({**data, "sampling": {"thinking": thinking}})


def test_studies_without_thinking_have_no_such_columns():
    frame = simulate(load_study("pampers"), "synthetic", runs=1).frame
    assert not [c for c in frame if c.startswith("between_") or c == "thoughts"]
    assert SyntheticBackend(load_study("pampers")).traits.per_call == 1
