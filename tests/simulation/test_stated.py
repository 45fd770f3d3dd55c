"""Budget, store, resume, batch and the estimate with a request for percentages."""

import json
from dataclasses import replace

import pytest

import llmdemand as ld
from llmdemand.errors import BudgetReached
from llmdemand.simulation.backends.named import backend_named

STUDY = replace(ld.load_study("pampers"), measure="stated")
SAID = "Pampers: 60%\nHuggies: 30%\nneither: 10%"


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def server(fake_server, complete, model="o3"):
    fake_server.answer = lambda body, call: (200, complete(SAID), {})
    return backend_named("openai", STUDY, model=model, base_url=fake_server.url)


def test_a_reasoning_model_is_asked_without_log_probabilities_or_probe(fake_server, complete):
    panel = ld.simulate(STUDY, server(fake_server, complete), runs=1, progress=False)
    assert panel.statuses["ok"] == 16 == len(fake_server.requests)
    assert not any("logprobs" in body for body in fake_server.requests)
    assert "<number>%" in fake_server.requests[0]["messages"][-1]["content"]
    assert panel.measure == panel.provenance["measure"] == "stated"


def test_what_a_store_holds_is_not_asked_again_and_measures_do_not_meet_in_it(
    fake_server, complete, tmp_path
):
    backend, store = server(fake_server, complete), tmp_path / "s.sqlite"
    first = ld.simulate(STUDY, backend, runs=1, store=store, progress=False)
    assert ld.estimate(STUDY, backend, runs=2, store=store).asked == 16
    again = ld.simulate(STUDY, backend, runs=2, store=store, progress=False)
    assert len(fake_server.requests) == 32 and len(again) == 32
    assert again.frame[again.frame["replicate"] == 0]["text"].tolist() == (
        first.frame["text"].tolist()
    )
    plain = replace(STUDY, measure="choice")
    assert ld.estimate(plain, backend, runs=1, store=store).asked == 16
    read = ld.extract_panel(STUDY, ld.stored_answers(store, STUDY))
    assert read.measure == "stated" and len(read.usable) == 32


def test_the_budget_holds(fake_server, complete, tmp_path):
    backend = server(fake_server, complete)
    usage = {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120}
    fake_server.answer = lambda body, call: (200, complete(SAID) | {"usage": usage}, {})
    with pytest.raises(BudgetReached):
        ld.simulate(
            STUDY,
            backend,
            runs=1,
            store=tmp_path / "s.sqlite",
            budget=ld.Budget(tokens=1200),
            progress=False,
        )
    assert 0 < len(fake_server.requests) < 16
    more = ld.estimate(STUDY, backend, runs=1)
    less = ld.estimate(replace(STUDY, measure="choice"), backend, runs=1)
    assert more.prompt_tokens[0] > less.prompt_tokens[0]


def test_a_batch_of_a_reasoning_model(complete, tmp_path):
    written = ld.write_batch(STUDY, tmp_path / "b", model="o3", runs=1)
    lines = [json.loads(x) for f in written.files for x in f.read_text("utf-8").splitlines()]
    assert len(lines) == 16 and not any("logprobs" in line["body"] for line in lines)
    out = tmp_path / "out.jsonl"
    answers = [
        {"custom_id": x["custom_id"], "response": {"status_code": 200, "body": complete(SAID)}}
        for x in lines
    ]
    out.write_text("".join(json.dumps(a) + "\n" for a in answers), "utf-8")
    panel = ld.read_batch(tmp_path / "b", [out]).panel
    assert panel.measure == panel.provenance["measure"] == "stated"
    assert panel.statuses["ok"] == 16


def test_the_commands_from_an_empty_folder(run, fake_server):
    from llmdemand.lab.experiments.measures import trigrams

    def vectors(body, call):
        found = trigrams(body["input"]).tolist()
        return 200, {"data": [{"index": k, "embedding": v} for k, v in enumerate(found)]}, {}

    fake_server.answer = vectors
    base = ("simulate", "pampers", "--backend", "synthetic", "--runs", 3, "--out")
    code, out, _ = run(*base, "s.parquet", "--measure", "stated")
    assert code == 0 and "not model belief: 48 of 48" in out
    assert run(*base, "l.parquet")[0] == 0
    code, out, _ = run("audit", "s.parquet", "--choices", "l.parquet")
    assert code == 0 and "own choices, 16 cells" in out and "measure: stated" in out
    code, out, _ = run("audit", "s.parquet", "--json")
    assert json.loads(out)["measure"] == "stated"
    code, out, _ = run("fit", "s.parquet", "--json")
    assert json.loads(out)["measure"] == "stated"
    code, out, err = run("fit", "s.parquet", "--outcome", "choice")
    assert code == 2 and err.startswith("error: none of the 48 runs has a choice")
    code, out, _ = run("similarity", "l.parquet", "--dry-run")
    assert code == 0 and "48 answers" in out and "12 anchor statements" in out
    server = ("--embed", "openai", "--model", "e", "--base-url", fake_server.url)
    code, out, _ = run("similarity", "l.parquet", *server)
    assert code == 0 and "similarity, which is not model belief: 48 of 48" in out
    code, out, _ = run("similarity", "l.parquet", *server, "--json")
    found = json.loads(out)
    assert found["usable"] == 48 and found["coherence"]["measure"] == "similarity"
    code, out, _ = run("similarity", "l.parquet", "--dry-run", "--json")
    assert json.loads(out)["anchors"] == 12
    code, out, _ = run("extract", "s.responses.sqlite", "--study", "pampers", "--measure", "stated")
    assert code == 0 and "not model belief: 48 of 48" in out
    for arguments, said in [
        (("similarity", "s.parquet"), "state percentages"),
        (("similarity", "l.parquet", "--embed", "nobody"), "no embedder 'nobody'"),
        (("similarity", "l.parquet", "--anchors", "no.toml"), "cannot be read"),
        (("similarity", "l.parquet", "--out", "l.parquet"), "same file"),
        (("audit", "l.parquet", "--choices", "s.parquet"), "--choices is for panels"),
        (("simulate", "pampers", "--measure", "statd"), "did you mean 'stated'"),
        (("fit", "s.parquet", "--reading", "pivot"), "reading='pivot'"),
    ]:
        code, _, err = run(*arguments)
        assert code == 2 and said in err and len(err.splitlines()) == 1, (arguments, err)
