"""A server that counts wrongly, over real HTTP: what a budget is worth with it."""

import json
import math
import re
import time

import pytest

from llmdemand import load_study, simulate
from llmdemand.errors import BudgetReached, UsageError
from llmdemand.simulation.backends.openai import OpenAIBackend
from llmdemand.simulation.cost import Budget, Prices
from llmdemand.simulation.storing.store import Store

STUDY = load_study("pampers")
LISTED = {"Pampers": math.log(0.7), "H": math.log(0.2)}
PAMPERS = [("Pampers", LISTED["Pampers"], LISTED)]
PRICES = Prices(1000.0, 4000.0)
# What a call of this study can take: about 700 bytes to read and some tokens to write.
HONEST = {"prompt_tokens": 150, "completion_tokens": 8}


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def backend(fake_server, quick_retries):
    return OpenAIBackend("fake-1", base_url=fake_server.url, prices=PRICES, timeout=5)


def counting(complete, usage):
    """Answers that are right but for their usage, which depends on the call."""

    def answer(body, call):
        raw = complete("Pampers", PAMPERS)
        raw["usage"] = usage(call) if callable(usage) else usage
        return 200, json.dumps(raw).encode(), {}

    return answer


def ask(backend, **options):
    return simulate(STUDY, backend, **{"runs": 4, "probe": False, "store": "s.sqlite", **options})


NONSENSE = {
    "negative": -150,
    "not a number": math.nan,
    "infinite": math.inf,
    "a text": "150",
    "a truth": True,
    "absurd": 10**12,
    "beyond all numbers": 10**400,
    "a list": [150],
}


@pytest.mark.parametrize("lie", NONSENSE.values(), ids=NONSENSE)
@pytest.mark.parametrize("kind", HONEST)
def test_what_is_no_number_of_tokens_ends_a_run_with_a_budget_at_once(
    backend, fake_server, complete, kind, lie
):
    fake_server.answer = counting(complete, {**HONEST, kind: lie})
    with pytest.raises(BudgetReached, match=rf"counts {kind} .*no number of tokens") as caught:
        ask(backend, budget=100.0, concurrency=8)
    assert len(fake_server.requests) == 1 and "\n" not in str(caught.value)
    # The answer is paid for: it is kept, and booked at the most that it can have cost.
    booked = float(re.search(r"\$([\d.]+) and", str(caught.value))[1])
    assert booked > PRICES.usd(HONEST["prompt_tokens"], HONEST["completion_tokens"])
    with Store("s.sqlite") as store:
        assert len(store) == 1


@pytest.mark.parametrize("lie", NONSENSE.values(), ids=NONSENSE)
def test_without_a_budget_nonsense_is_not_known_and_never_believed(
    backend, fake_server, complete, lie
):
    fake_server.answer = counting(complete, {**HONEST, "prompt_tokens": lie})
    panel = ask(backend)
    assert panel.statuses["ok"] == 64
    assert panel.frame["prompt_tokens"].isna().all()
    assert panel.frame["completion_tokens"].eq(8).all()


SURPLUS = {
    "a hidden system prompt": {**HONEST, "prompt_tokens": 9000},
    "an ignored limit": {**HONEST, "completion_tokens": 5000},
}


@pytest.mark.parametrize("usage", SURPLUS.values(), ids=SURPLUS)
@pytest.mark.parametrize("cap", [Budget(usd=1e4), Budget(tokens=1e7)], ids=["dollars", "tokens"])
def test_a_server_that_counts_more_than_it_could_is_stopped_at_its_first_answer(
    backend, fake_server, complete, usage, cap
):
    fake_server.answer = counting(complete, usage)
    with pytest.raises(BudgetReached, match="within the budget") as caught:
        ask(backend, budget=cap, concurrency=16)
    assert len(fake_server.requests) == 1
    found = re.search(r"counts ([\d,]+) tokens for what could take ([\d,]+)", str(caught.value))
    counted, most = (int(n.replace(",", "")) for n in found.groups())
    assert counted == sum(usage.values()) > most


@pytest.mark.parametrize("probe", [True, False])
def test_how_far_the_budget_was_exceeded_is_said_and_the_probe_is_in_it(
    backend, fake_server, complete, probe
):
    fake_server.answer = counting(complete, {**HONEST, "prompt_tokens": 9000})
    # Enough for a probe and a few calls at what can be known of them, not for one of 9,000 tokens.
    with pytest.raises(BudgetReached, match=r"\$(\d\.\d+) beyond the budget") as caught:
        ask(backend, budget=8.0, probe=probe, concurrency=16)
    assert len(fake_server.requests) == 1, "the first answer is waited for before a second call"
    over = float(re.search(r"\$([\d.]+) beyond", str(caught.value))[1])
    assert over == pytest.approx(PRICES.usd(9000, 8) - 8.0, rel=1e-3)


def test_a_server_that_begins_to_lie_is_stopped_and_the_message_counts_what_was_under_way(
    backend, fake_server, complete
):
    spent = []

    def answer(body, call):
        usage = {**HONEST, "prompt_tokens": 9000} if call > 6 else HONEST
        spent.append(PRICES.usd(*usage.values()))
        time.sleep(0.05)
        return counting(complete, usage)(body, call)

    fake_server.answer = answer
    with pytest.raises(BudgetReached, match="9,008 tokens for what could take") as caught:
        ask(backend, budget=20.0, concurrency=4)
    assert 7 <= len(spent) <= 6 + 4, "no call begins after the first lie"
    over = float(re.search(r"\$([\d.]+) beyond", str(caught.value))[1])
    assert over == pytest.approx(sum(spent) - 20.0, rel=1e-3)
    with Store("s.sqlite") as store:
        assert len(store) == len(spent), "every answer is paid for and kept"


def test_what_a_server_adds_can_be_allowed_for_and_the_budget_holds_again(
    backend, fake_server, complete
):
    usage = {**HONEST, "prompt_tokens": 9000}
    fake_server.answer = counting(complete, usage)
    with pytest.raises(BudgetReached, match=r"--overhead \d+") as caught:
        ask(backend, budget=1000.0)
    overhead = float(re.search(r"--overhead (\d+)", str(caught.value))[1])
    # The advice is enough, the answer that was paid for is not asked again, the cap is kept.
    with pytest.raises(BudgetReached, match="the budget ends here"):
        ask(backend, budget=Budget(usd=200.0, overhead=overhead), concurrency=8)
    assert 1 < len(fake_server.requests) < 64
    assert (len(fake_server.requests) - 1) * PRICES.usd(*usage.values()) <= 200.0
    panel = ask(backend, budget=Budget(usd=5000.0, overhead=overhead))
    assert len(panel) == 64 and len(fake_server.requests) == 64


def test_dollars_alone_may_be_what_breaks_a_bound(backend, fake_server, complete):
    # As many tokens as could be, but all of them at the higher price.
    fake_server.answer = counting(complete, {"prompt_tokens": 0, "completion_tokens": 600})
    with pytest.raises(BudgetReached, match=r"\(\$2\.4 for \$\d") as caught:
        ask(backend, budget=1000.0)
    overhead = float(re.search(r"--overhead (\d+)", str(caught.value))[1])
    assert len(ask(backend, budget=Budget(usd=5000.0, overhead=overhead))) == 64


def test_several_answers_of_a_call_are_held_to_its_bound_together(fake_server, complete):
    def answer(body, call):
        raw = complete("Pampers", PAMPERS)
        raw["choices"] = [{**raw["choices"][0], "index": k} for k in range(body.get("n", 1))]
        raw["usage"] = {"prompt_tokens": 9000, "completion_tokens": "many"}
        return 200, raw, {}

    fake_server.answer = answer
    backend = OpenAIBackend("fake-1", base_url=fake_server.url, prices=PRICES, n=2)
    with pytest.raises(BudgetReached, match="counts completion_tokens 'many'"):
        ask(backend, budget=100.0)
    assert len(fake_server.requests) == 1


def test_calls_of_the_probe_that_were_cut_off_are_in_the_budget(backend, fake_server, complete):
    fake_server.answer = lambda body, call: (200, fake_server.cut(complete("x"), 30), {})
    with pytest.raises(BudgetReached, match="on calls that were cut off"):
        ask(backend, budget=Budget(tokens=2000), probe=True)
    # Each may have been charged for all that it could take, and that is more than its bytes.
    sent = [sum(len(m["content"].encode()) for m in r["messages"]) for r in fake_server.requests]
    assert len(sent) >= 3 and sum(sent) <= 2000


def test_an_overhead_is_none_or_more():
    with pytest.raises(UsageError, match="overhead of -1"):
        Budget(usd=1.0, overhead=-1)
