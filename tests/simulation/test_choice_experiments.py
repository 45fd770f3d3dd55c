"""Choice experiments on their way: servers, batches, stores, budgets, replay, growth."""

import json
import math
import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import llmdemand as ld
from llmdemand.errors import BudgetReached, MissingExtra, UsageError
from llmdemand.simulation.backends import weights
from llmdemand.simulation.backends.openai import OpenAIBackend
from llmdemand.simulation.backends.recorded import RecordedBackend
from llmdemand.simulation.storing.store import Store


@pytest.fixture(scope="module")
def coffee(tmp_path_factory):
    path = ld.new_study(tmp_path_factory.mktemp("coffee") / "coffee.toml", conjoint=True)
    study = ld.load_study(path)
    # The D-efficient search is for other tests.
    made = replace(study.conjoint, method="random", tasks=(10,), holdouts=2, design=(), block=())
    return replace(study, conjoint=made)


def shopper(complete):
    """A server that reads what is on offer and takes the large bags, the cheap ones first."""

    def answer(body, call):
        text = body["messages"][-1]["content"]
        found = re.findall(r"- (\w+): (\d+) g, .*?, \$([\d.]+)", text)
        assert len(found) == 3, text
        v = {name: 0.004 * float(size) - 0.3 * float(price) for name, size, price in found}
        v["neither"] = -2.0
        whole = math.log(sum(map(math.exp, v.values())))
        listed = {name: u - whole for name, u in v.items()}
        best = max(listed, key=listed.get)
        found = complete(best, [(best, listed[best], listed)])
        usage = {"prompt_tokens": 120, "completion_tokens": 30, "total_tokens": 150}
        return 200, {**found, "usage": usage}, {}

    return answer


def test_a_server_is_asked_with_the_levels_and_told_from_its_answers(
    coffee, fake_server, complete, tmp_path
):
    fake_server.answer = shopper(complete)
    backend = OpenAIBackend("fake-1", base_url=fake_server.url)
    panel = ld.simulate(coffee, backend, runs=1, seed=1, store=tmp_path / "s.sqlite", probe=False)
    assert len(panel) == len(fake_server.requests) == len(coffee.cells())
    assert (panel.frame["status"] == "ok").all()
    with pytest.warns(ld.VarianceWarning, match="does not vary about the fit"):
        found = ld.conjoint(panel)
    # Belief is exact, so that the utilities are those of the server to rounding.
    worth = found.worth.table.set_index(["attribute", "level"])["estimate"]
    assert worth["size", "500 g"] == pytest.approx(0.004 * 250 / 0.3, rel=1e-4)
    assert float(found.fit.params["price"]) == pytest.approx(-0.3, rel=1e-4)
    assert found.holdouts.mean_error < 1e-4
    again = ld.simulate(coffee, backend, runs=1, seed=1, store=tmp_path / "s.sqlite", probe=False)
    assert len(fake_server.requests) == len(coffee.cells()), "nothing is asked twice"
    pd.testing.assert_frame_equal(again.frame, panel.frame)


def test_a_batch_is_the_panel_that_the_server_would_have_given(
    coffee, fake_server, complete, tmp_path
):
    fake_server.answer = shopper(complete)
    live = ld.simulate(
        coffee,
        OpenAIBackend("fake-1", base_url=fake_server.url),
        runs=1,
        store=":memory:",
        probe=False,
    )
    folder = tmp_path / "batch"
    ld.write_batch(coffee, folder, model="fake-1", base_url=fake_server.url, runs=1)
    lines = [
        json.loads(line)
        for file in sorted(folder.glob("requests-*.jsonl"))
        for line in file.read_text("utf-8").splitlines()
    ]
    answers = [
        {
            "custom_id": line["custom_id"],
            "response": {"status_code": 200, "body": shopper(complete)(line["body"], 0)[1]},
        }
        for line in lines
    ]
    out = tmp_path / "out.jsonl"
    out.write_text("".join(json.dumps(a) + "\n" for a in answers), "utf-8")
    found = ld.read_batch(folder, [out])
    assert not found.missing
    pd.testing.assert_frame_equal(found.panel.frame, live.frame)


def test_what_is_stored_is_replayed_extracted_and_estimated(coffee, tmp_path):
    path = tmp_path / "s.sqlite"
    fresh = ld.simulate(coffee, "synthetic", runs=2, seed=5, store=path)
    replayed = ld.simulate(coffee, RecordedBackend(path), runs=2, seed=5)
    pd.testing.assert_frame_equal(replayed.frame, fresh.frame)
    extracted = ld.extract_panel(coffee, ld.stored_answers(path, coffee))
    assert set(extracted.frame["run_id"]) == set(fresh.frame["run_id"])
    left = ld.estimate(coffee, ld.SyntheticBackend(coffee), runs=3, seed=5, store=path)
    assert left.asked == len(coffee.cells()) and left.stored == 2 * len(coffee.cells())
    file = tmp_path / "panel.parquet"
    fresh.write(file)
    again = ld.Panel.read(file)
    assert again.study == coffee and again.frame["holdout"].dtype == bool
    pd.testing.assert_frame_equal(again.long(filled=True), fresh.long(filled=True))


def test_a_budget_stops_and_the_same_call_goes_on(coffee, fake_server, complete, tmp_path):
    fake_server.answer = shopper(complete)
    backend = OpenAIBackend("fake-1", base_url=fake_server.url)
    options = {"runs": 1, "store": tmp_path / "s.sqlite", "probe": False}
    with pytest.raises(BudgetReached):
        ld.simulate(coffee, backend, budget=ld.Budget(tokens=1200), **options)
    before = len(fake_server.requests)
    assert 0 < before < len(coffee.cells())
    panel = ld.simulate(coffee, backend, **options)
    assert len(fake_server.requests) == len(coffee.cells()) == len(panel)


def test_a_design_that_grows_asks_only_what_is_new(coffee, tmp_path):
    path = tmp_path / "s.sqlite"
    before = ld.simulate(coffee, "synthetic", runs=2, seed=5, store=path)
    more = replace(coffee, conjoint=replace(coffee.conjoint, tasks=(10, 4), design=(), block=()))
    new = len(more.cells()) - len(coffee.cells())
    assert new == 4  # two of them for each persona
    left = ld.estimate(more, ld.SyntheticBackend(more), runs=2, seed=5, store=path)
    assert left.asked == 2 * new
    after = ld.simulate(more, "synthetic", runs=2, seed=5, store=path)
    with Store(path) as store:
        assert len(store) == len(before) + 2 * new
    keys = ["persona_id", "task", "replicate"]
    both = before.frame.merge(after.frame, on=keys, suffixes=("", "_after"))
    assert len(both) == len(before)
    assert (both["text"] == both["text_after"]).all()
    assert np.array_equal(both["belief_aroma"], both["belief_aroma_after"])


def test_other_tasks_are_other_questions(coffee, tmp_path):
    path = tmp_path / "s.sqlite"
    ld.simulate(coffee, "synthetic", runs=1, seed=5, store=path)
    other = replace(coffee, conjoint=replace(coffee.conjoint, seed=9, design=(), block=()))
    left = ld.estimate(other, ld.SyntheticBackend(other), runs=1, seed=5, store=path)
    assert left.asked > 0.8 * len(other.cells())


def test_the_audit_and_the_comparison_take_such_panels(coffee):
    panel = ld.simulate(coffee, "synthetic", runs=4, seed=2)
    assert "statuses: ok" in ld.audit(panel).summary()
    assert ld.check_equivalence(panel).final_pvalue > 1e-4
    report = ld.compare(panel, runs=(1, 2), replications=20)
    assert any("This is a choice experiment" in p for p in report.problems)
    with pytest.raises(UsageError, match="choice experiment, whose tasks are one design"):
        ld.plan(panel)


@pytest.mark.local
def test_the_embedded_model_answers_tasks(coffee, tmp_path):
    pytest.importorskip("xllamacpp")
    try:
        weights.embedded_model()
    except MissingExtra as error:
        pytest.skip(str(error))
    few = replace(
        coffee,
        conjoint=replace(coffee.conjoint, tasks=(2,), holdouts=0, blocks=1, design=(), block=()),
        personas=coffee.personas[:1],
    )
    panel = ld.simulate(few, "local", runs=1, store=tmp_path / "s.sqlite")
    assert len(panel) == 2 and panel.frame["size_aroma"].isin(["250 g", "500 g"]).all()
