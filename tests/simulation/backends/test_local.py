"""The embedded language model itself: its semantics, not its taste in diapers."""

import asyncio
import gc
import importlib.util
import itertools
import math
import urllib.request
from dataclasses import replace

import pandas as pd
import pytest

from llmdemand import load_study, simulate
from llmdemand.belief.audit import audit
from llmdemand.core.study import Study
from llmdemand.errors import BackendError, MissingExtra, UsageError
from llmdemand.modeling.outcomes.frames import default_reading
from llmdemand.simulation.backends import engine, local
from llmdemand.simulation.backends.local import LocalBackend
from llmdemand.simulation.backends.openai import OpenAIBackend
from llmdemand.simulation.backends.recorded import RecordedBackend
from llmdemand.simulation.backends.rendered import RenderedBackend
from llmdemand.simulation.backends.weights import weights_path
from llmdemand.simulation.branches import known_ids, plan_in
from llmdemand.simulation.requests import requests
from llmdemand.simulation.storing.records import Source, key
from llmdemand.simulation.storing.store import Store

INSTALL = 'pip install ".[local]" && llmdemand model get'
installed = importlib.util.find_spec("xllamacpp") is not None and weights_path() is not None
needs_model = pytest.mark.skipif(not installed, reason=f"the embedded model is missing: {INSTALL}")


@pytest.fixture(scope="module")
def backend():
    return LocalBackend()


@pytest.fixture(scope="module")
def stopping():
    return LocalBackend(whole=0.5)


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """Answers that nobody names a store for are kept in the current folder."""
    monkeypatch.chdir(tmp_path)


def small(name, **changes):
    """A study cut down to two prices and one persona."""
    data = load_study(name).to_dict()
    data["alternatives"][0]["price"] = [30.0, 45.0]
    data["personas"] = data["personas"][:1]
    return Study.from_dict({**data, **changes})


# Few words, where a prompt's length does not matter.
BRIEF = {"system": "You shop for diapers.", "user": "{offers}\nWhich one?"}


def answers(backend, asked):
    """Raw responses to requests, each asked by itself."""

    async def all_of_them():
        return [raw for request in asked async for raw in backend.complete([request])]

    return asyncio.run(all_of_them())


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
def test_answers_that_take_hours_are_kept_without_being_told_to(backend, tmp_path):
    study = small("pampers-households", orders="fixed", cluster="cell")
    first = simulate(study, backend, runs=1, seed=1)
    assert (tmp_path / "llmdemand.responses.sqlite").exists()
    again = simulate(study, RecordedBackend(tmp_path / "llmdemand.responses.sqlite"), runs=1)
    pd.testing.assert_frame_equal(first.frame, again.frame)


@pytest.mark.local
@needs_model
def test_order_grouping_and_cached_prompts_change_no_bit(backend):
    asked = list(requests(small("pampers-households"), 2, seed=1))
    forwards = answers(backend, asked)
    backwards = answers(backend, asked[::-1])[::-1]
    fresh = answers(LocalBackend(), asked[-1:])
    assert forwards == backwards
    assert forwards[-1]["tokens"] == fresh[0]["tokens"]

    async def together():
        return [raw async for raw in backend.complete(asked[:2])]

    assert asked[0].prompt == asked[1].prompt
    assert asyncio.run(together()) == forwards[:2]


@pytest.mark.local
@needs_model
def test_on_the_invariant_path_company_and_order_change_no_bit(monkeypatch):
    study = small("pampers", **BRIEF, sampling={"max_tokens": 5, "top_logprobs": 20})
    backend = LocalBackend(path="invariant", threads=1)
    slots = itertools.cycle(backend._slots[:4])
    monkeypatch.setattr(backend, "_slot", lambda asked: next(slots))
    asked = list(requests(study, 2, seed=1))
    by_prompt = {}
    for request in asked:
        by_prompt.setdefault(request.prompt, []).append(request)
    assert len(by_prompt) == 4

    async def together():
        async def call(group):
            return [raw async for raw in backend.complete(group)]

        return await asyncio.gather(*map(call, by_prompt.values()))

    company = list(itertools.chain(*asyncio.run(together())))
    # One at a time, the last first, elsewhere: what was asked before is cached or is not.
    alone = answers(backend, list(itertools.chain(*by_prompt.values()))[::-1])[::-1]
    assert company == alone
    other = LocalBackend(path="exact", threads=1)
    (first,) = answers(other, asked[:1])
    one, two = (LocalBackend.parse(other, raw).tokens[0] for raw in (first, company[0]))
    here, there = (dict(zip(t.candidates, t.logprobs, strict=True)) for t in (one, two))
    shared = set(here) & set(there)
    assert len(shared) > 15
    assert 0 < max(abs(here[c] - there[c]) for c in shared) < 0.5


@pytest.mark.local
@needs_model
def test_an_engine_whose_numbers_depend_on_company_is_found_out_and_refused(monkeypatch):
    def four(params):
        params.n_parallel = 4

    # Attention of several queries at once is summed in another order.
    assert not engine.invariant(LocalBackend(path="batched", threads=1, context=512).engine(four))
    monkeypatch.setattr(local, "invariant", lambda server: False)
    monkeypatch.setattr(LocalBackend, "engine", lambda self: object())
    with pytest.raises(BackendError, match=r"other numbers in company than alone.*--path exact"):
        LocalBackend(path="invariant").address  # noqa: B018


@needs_model
def test_answers_of_two_paths_are_never_taken_for_each_other(run):
    settings = {name: dict(LocalBackend(path=name).settings) for name in engine.PATHS}
    # Answers and panels of earlier are found under these.
    assert {k: v for k, v in settings["exact"].items() if k != "engine"} == {
        "path": "exact",
        "until": "end",
        "shared": 4,
    }
    assert len({str(found) for found in settings.values()}) == len(engine.PATHS)
    (asked,) = itertools.islice(requests(small("pampers"), 1, seed=1), 1)
    keys = {key(asked, Source.of(LocalBackend(path=name))) for name in engine.PATHS}
    assert len(keys) == len(engine.PATHS)
    code, _, err = run("simulate", "pampers", "--path", "invariate", "--dry-run")
    assert code == 2 and "did you mean 'invariant'" in " ".join(err.split())
    code, _, err = run("simulate", "pampers", "--backend", "synthetic", "--path", "exact")
    assert code == 2 and "--path is for the backend local" in " ".join(err.split())


@needs_model
def test_a_prompt_goes_to_an_idle_slot_unless_reading_it_there_costs_more_than_company_gains():
    backend = LocalBackend(path="invariant")
    assert len(backend._slots) == 16 < backend.traits.concurrency == backend.traits.start
    one, two = (
        next(r for r in requests(small("pampers", sampling={"max_tokens": t}), 1, seed=1))
        for t in (40, 5)
    )
    text = 400 * "purchased "
    first, second = (replace(one, user=text + price) for price in ("30", "31"))
    begun = backend._slot([first])
    assert backend._slot([second]) is begun, "nearly all of the text is known there"
    begun.calls += 1
    # Forty answers of 40 tokens are worth reading a thousand again; two of five are not.
    assert backend._slot([replace(two, user=second.user)] * 2) is begun
    other = backend._slot([second] * 40)
    assert other is not begun
    assert backend._slot([replace(first, system="another", user="prompt")]) not in (begun,)


@pytest.mark.local
@needs_model
def test_where_one_of_two_endpoints_dies_the_other_goes_on_with_the_same_answers(monkeypatch):
    """Two real servers: a store that one began is ended by the other, as if by one alone."""
    study = small("pampers", **BRIEF, sampling={"max_tokens": 3, "top_logprobs": 20})
    servers = [LocalBackend(threads=1, context=512) for _ in range(2)]

    def ask(server, runs, store):
        monkeypatch.setenv("OPENAI_API_KEY", server._key)
        served = OpenAIBackend(
            "smollm2",
            base_url=f"{server.address}/v1",
            extra_body={"top_k": 0, "min_p": 0.0, "samplers": ["temperature"]},
            timeout=600,
        )
        return simulate(study, served, runs=runs, seed=1, store=store, probe=False)

    assert servers[0].address != servers[1].address
    begun = ask(servers[0], 1, "s.sqlite")
    # Its port closes with it.
    dead, servers[0] = servers[0].address, None
    gc.collect()
    with pytest.raises(OSError, match="refused"):
        urllib.request.build_opener(urllib.request.ProxyHandler({})).open(f"{dead}/health")
    ended = ask(servers[1], 2, "s.sqlite").frame
    alone = ask(servers[1], 2, ":memory:").frame
    pd.testing.assert_frame_equal(ended, alone)
    assert len(begun.frame) * 2 == len(ended)


@pytest.mark.local
@needs_model
def test_runs_that_are_not_drawn_to_be_whole_stop_at_the_pivot(stopping):
    panel = simulate(small("pampers-households"), stopping, runs=6, seed=1)
    cut = panel.frame[panel.frame["final_status"] == "stopped"]
    rest = panel.frame.drop(cut.index)
    assert len(cut) > 2 and (rest["completion_tokens"] > rest["pivot_index"] + 1).any()
    assert (cut["completion_tokens"] == cut["pivot_index"] + 1).all()
    settled = panel.frame["pivot_index"] >= 0
    assert (panel.frame["whole_probability"] == settled.map({True: 0.5, False: 1.0})).all()
    assert audit(panel).stopped == len(cut)
    assert default_reading(panel) == "final"


@pytest.mark.local
@needs_model
def test_the_price_of_stopping_is_said_before_anything_is_asked(run):
    words = ["simulate", "pampers-households", "--runs", "1", "--dry-run"]
    said = {}
    for more in ([], ["--whole", "0.25", "--early", "3"]):
        code, out, _ = run(*words, *more)
        assert not code
        said[len(more)] = " ".join(out.split())
    assert "whole answers" not in said[0]
    # (.01 + .0784) / .0296 and (.01 + .36) / .1
    assert "about 3 times the variance of whole answers if 2 %" in said[4]
    assert "3.7 times if 10 % do" in said[4]


@pytest.mark.local
@needs_model
def test_whole_answers_have_the_same_pivots_and_beliefs(backend, stopping):
    study = small("pampers-households")
    cut = simulate(study, stopping, runs=3, seed=1)
    whole = simulate(study, backend, runs=3, seed=1)
    same = ["run_id", "status", "choice", "belief_pampers", "pivot_index", "pivot_token"]
    settled = cut.frame["pivot_index"] >= 0
    pd.testing.assert_frame_equal(cut.frame.loc[settled, same], whole.frame.loc[settled, same])
    assert "whole_probability" not in whole.frame.columns
    assert not (whole.frame["final_status"] == "stopped").any()


@pytest.mark.local
@needs_model
def test_the_lists_are_those_of_the_engines_own_generation(backend):
    # Token by token, from shared beginnings, or in one go: the same numbers.
    study = small("pampers-households", sampling={"max_tokens": 4, "top_logprobs": 20})
    request = next(requests(study, 1, seed=1))
    engine = backend._server.handle_completions(
        {
            "prompt": request.system + request.user,
            "max_tokens": 4,
            "temperature": 1.0,
            "seed": 3,
            "logprobs": 20,
            "cache_prompt": True,
        }
    )
    content = engine["choices"][0]["logprobs"]["content"]
    ids = tuple(token["id"] for token in content)
    for position, token in enumerate(content):
        listed = backend._listed(backend._prompt(request), ids[:position], 20, "test")
        assert [(c.id, c.logprob) for c in listed] == [
            (c["id"], c["logprob"]) for c in token["top_logprobs"]
        ]


@pytest.mark.local
@needs_model
def test_within_a_character_the_list_is_that_of_the_law(backend, monkeypatch):
    """The engine keeps what it drew back until the character is whole, and the list with it."""
    prompt = "The options:\n- 帮宝适\nThe answer: 我买好奇。\nChosen option:"
    free = backend._listed(prompt, (), 300, "0-0")
    begun = next(c for c in free if c.data.startswith(b" ") and c.data[-1:] >= b"\xe0")
    true, empty = backend._ask, {"choices": [{"logprobs": {"content": []}}]}

    def kept_back(body, run):
        return true(body, run) if "logit_bias" in body else empty

    monkeypatch.setattr(backend, "_ask", kept_back)
    assert backend._listed(prompt, (), 300, "0-0") == free
    within = backend._listed(prompt, (begun.id,), 300, "0-0")
    assert 0x80 <= within[0].data[0] < 0xC0 and 0.9 < sum(math.exp(c.logprob) for c in within) <= 1
    monkeypatch.setattr(backend, "_ask", lambda body, run: empty)
    with pytest.raises(BackendError, match="no probabilities in run 0-0"):
        backend._listed(prompt, (), 300, "0-0")


@pytest.mark.local
@needs_model
def test_a_chat_prompt_is_that_of_the_engines_own_chat(backend):
    study = small("pampers")
    request = next(requests(study, 1, seed=1))
    own = backend._server.handle_chat_completions(
        {
            "messages": [
                {"role": "system", "content": request.system},
                {"role": "user", "content": request.user},
            ],
            "max_tokens": 1,
            "logprobs": True,
            "top_logprobs": 20,
            "seed": 1,
        }
    )
    (token,) = own["choices"][0]["logprobs"]["content"]
    ours = backend._listed(backend._prompt(request), (), 20, "test")
    assert {c.id: c.logprob for c in ours} == {c["id"]: c["logprob"] for c in token["top_logprobs"]}
    (raw,) = answers(backend, [request])
    assert raw["usage"]["prompt_tokens"] == own["usage"]["prompt_tokens"]
    assert backend.parse(raw).model.startswith("SmolLM2-135M-Instruct.Q4_1.gguf@b179c9523d0e")


@pytest.mark.local
@needs_model
def test_samples_follow_the_reported_probabilities_beyond_the_list_too(backend):
    # One candidate listed: nearly every draw is made by the engine among the others.
    study = small("pampers-households", sampling={"max_tokens": 1, "top_logprobs": 100})
    request = next(requests(study, 1, seed=4))
    prompt = backend._prompt(request)
    law = {c.id: math.exp(c.logprob) for c in backend._listed(prompt, (), 100, "test")}
    (top, first), (second, p) = sorted(law.items(), key=lambda item: -item[1])[:2]
    drawn = [backend._beyond(prompt, (), [top], 1.0, seed, "test") for seed in range(200)]
    ids = [c.id for c in drawn if c is not None]
    assert top not in ids
    expected = 200 * p / (1 - first)
    assert abs(ids.count(second) - expected) < 4 * math.sqrt(expected) + 1
    # Reported are the probabilities of the whole law, not of what was left.
    assert all(
        math.isclose(math.exp(c.logprob), law[c.id], rel_tol=1e-6)
        for c in drawn
        if c is not None and c.id in law
    )


@pytest.mark.local
@needs_model
def test_log_probabilities_do_not_depend_on_the_temperature(backend):
    asked = [
        next(requests(small("pampers-households", sampling={"temperature": t}), 1, seed=1))
        for t in (1.0, 0.5)
    ]
    (one, half) = (backend.parse(raw).tokens[0] for raw in answers(backend, asked))
    assert dict(zip(one.candidates, one.logprobs, strict=True)) == dict(
        zip(half.candidates, half.logprobs, strict=True)
    )


@pytest.mark.local
@needs_model
def test_a_prompt_beyond_the_context_is_refused_in_one_line(backend):
    study = small("pampers", user="{offers}" + " diapers" * 6000)
    with pytest.raises(BackendError, match="the engine refused run 0-0"):
        answers(backend, [next(requests(study, 1, seed=1))])


@pytest.mark.local
@needs_model
def test_what_is_no_model(tmp_path):
    path = tmp_path / "x.gguf"
    path.write_text("hello", encoding="utf-8")
    with pytest.raises(UsageError, match="not a GGUF file"):
        LocalBackend(path)
    with pytest.raises(UsageError, match="not a GGUF file"):
        LocalBackend(tmp_path / "absent.gguf")
    path.write_bytes(b"GGUF" + bytes(100))
    with pytest.raises(BackendError, match=r"could not load x\.gguf"):
        answers(LocalBackend(path), [next(requests(small("pampers"), 1, seed=1))])
    for whole in (-1, 0, 1.5):
        with pytest.raises(UsageError, match=f"whole={whole}: give the probability"):
            LocalBackend(whole=whole)
    with pytest.raises(UsageError, match="early=2, whole=1: give a number of tokens"):
        LocalBackend(early=2)
    with pytest.raises(UsageError, match=r"path='batch'.*'batched'.*exact, invariant, batched"):
        LocalBackend(path="batch")
    with pytest.raises(UsageError, match=r"give it there, as LocalBackend\(whole=0.5\)"):
        simulate(small("pampers"), LocalBackend(), whole=0.5)


def test_a_missing_engine_names_its_command(monkeypatch):
    from llmdemand.simulation.backends import local

    monkeypatch.setattr(local, "find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r'pip install "llmdemand\[local\]"'):
        LocalBackend()


@pytest.mark.local
@needs_model
def test_the_tree_agrees_with_the_belief_of_sampled_answers(backend):
    from llmdemand.belief.extract import extract
    from llmdemand.belief.tree import tree

    study = small("pampers-households", sampling={"max_tokens": 4, "top_logprobs": 300})
    (request, *_) = requests(study, 1, seed=3)
    exact = tree(backend.scorer(request), study.menu, tolerance=0.02, budget=40)
    assert exact.unresolved < 0.1 and exact.calls <= 40
    (raw,) = answers(backend, [request])
    belief = extract(backend.parse(raw), study.menu)
    assert belief.pivot_index == 0
    # Most answers settle at their first token, so its belief is nearly the whole truth.
    assert abs(exact.belief[0] - belief.belief[0]) < 0.1
    assert exact.lower[0] > 0.02 and exact.lower[1] > 0.02


@pytest.mark.local
@needs_model
def test_thoughts_and_forced_answers(backend):
    study = small(
        "pampers",
        sampling={
            "max_tokens": 2,
            "thinking": {"thoughts": 3, "max_tokens": 8, "answer": "\n\nI buy"},
        },
    )
    panel = simulate(study, backend, runs=1, seed=2)
    frame = panel.frame
    assert (frame["thoughts"] == 3).all() and len(frame) == 2
    believed = frame[frame["belief_pampers"].notna()]
    assert (believed["between_pampers"] >= 0).all()
    # Every thought reads the prompt, and every answer reads it again with its thought.
    assert (frame["prompt_tokens"] > 6 * 80).all()
    again = simulate(study, backend, runs=1, seed=2, store=":memory:")
    pd.testing.assert_frame_equal(frame, again.frame)


@pytest.mark.local
@needs_model
@pytest.mark.parametrize("api", ["chat", "completions"])
def test_the_openai_client_over_http_gives_the_same_beliefs(backend, monkeypatch, api):
    # The engine's own server, its sampling defaults dropped: one law, two roads to it.
    monkeypatch.setenv("OPENAI_API_KEY", backend._key)
    name = "pampers" if api == "chat" else "pampers-households"
    study = small(name, sampling={"max_tokens": 12, "top_logprobs": 20})
    served = OpenAIBackend(
        "smollm2",
        base_url=f"{backend.address}/v1",
        api=api,
        extra_body={"top_k": 0, "min_p": 0.0, "samplers": ["temperature"], "cache_prompt": True},
    )
    found = simulate(study, served, runs=2, seed=1, store=":memory:")
    assert found.provenance["probe"]["before_temperature"] is True
    assert found.provenance["probe"]["listed"] == 20
    assert list(found.frame.columns) == list(simulate(study, "synthetic", runs=1).frame.columns)
    for run in requests(study, 2, seed=1):
        row = found.frame.set_index("run_id").loc[run.run_id]
        if row["pivot_index"] == 0 and row["status"] == "ok":
            listed = backend._listed(backend._prompt(run), (), 20, "test")
            assert row["tail_mass"] == pytest.approx(
                1 - sum(math.exp(c.logprob) for c in listed), abs=1e-6
            )
    assert found.frame["text"].str.len().gt(0).any()


BRANCHING = {"max_tokens": 8, "top_logprobs": 20, "branch": True}


@pytest.mark.local
@needs_model
def test_branches_go_on_from_the_very_tokens_that_were_listed(backend, tmp_path):
    study = small("pampers-households", sampling=BRANCHING, orders="fixed", cluster="cell")
    frame = simulate(study, backend, runs=3, seed=2, store=tmp_path / "s.sqlite").frame
    # Answers begin with a name here, of which there are several.
    assert (frame["branches"] > 1).mean() > 0.5
    assert (frame["final_status"] != "stopped").all(), "every answer goes on to its end"
    again = simulate(study, backend, runs=1, seed=2, store=":memory:").frame
    first = frame[frame["replicate"] == 0].reset_index(drop=True)
    for column in ("text", "belief_pampers", "branches", "branch_tokens"):
        pd.testing.assert_series_equal(again[column], first[column])
    prompts = {r.run_id: backend._prompt(r) for r in requests(study, 3, seed=2)}
    with Store(tmp_path / "s.sqlite") as store:
        rows = {row["key"]: row for row in store.export()}
    assert any("branch_of" in row["raw"] for row in rows.values())
    for row in rows.values():
        raw = row["raw"]
        assert raw.get("branch_of", row["key"]) in rows
        if (plan := plan_in(raw)) is None:
            continue
        ids, listed = known_ids(raw)
        assert list(plan.prefix) == ids[: plan.position]
        fresh = backend._listed(prompts[row["run_id"]], plan.prefix, 20, "check")
        known = {c.id: (c.data, c.logprob) for c in fresh}
        for id_, data, value in listed[plan.position][:5]:
            assert known[id_][0] == data
            # Another path through the engine moves the numbers, not the tokens.
            assert known[id_][1] == pytest.approx(value, abs=0.2)


@pytest.mark.local
@needs_model
def test_ids_are_those_of_the_text_and_over_its_port_the_engine_goes_on_from_them(
    backend, monkeypatch
):
    monkeypatch.setenv("OPENAI_API_KEY", backend._key)
    server = RenderedBackend(
        OpenAIBackend(
            "smollm2",
            base_url=f"{backend.address}/v1",
            extra_body={"top_k": 0, "min_p": 0, "samplers": ["temperature"]},
        )
    )
    study = small("pampers", sampling=BRANCHING, orders="fixed")
    request = next(iter(requests(study, 1, seed=3)))
    (raw,) = answers(backend, [request])
    ids, _ = known_ids(raw)

    async def asked():
        back = await server._plain("/detokenize", {"tokens": ids})
        rest = [x async for x in server.complete([replace(request, ids=tuple(ids[:5]))])]
        whole = [x async for x in server.complete([request])]
        end = await server.rendered(request)
        await server.close()
        return back["content"], rest[0], whole[0], end

    text, rest, whole, end = asyncio.run(asked())
    assert text.strip() == raw["text"].strip()
    prompt = raw["usage"]["prompt_tokens"]
    assert whole["usage"]["prompt_tokens"] == prompt
    assert rest["usage"]["prompt_tokens"] == prompt + len(ids[:5])
    assert len(known_ids(whole)[0]) == len(server.parse(whole).tokens)
    assert end.endswith("assistant\n")
