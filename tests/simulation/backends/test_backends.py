"""Backends that ask nobody, and backends without log-probabilities."""

import asyncio
import threading
from dataclasses import replace

import pandas as pd
import pytest

from llmdemand import fit_demand, load_study, simulate
from llmdemand.core.menu import Alternative, Menu
from llmdemand.errors import BackendError, UsageError
from llmdemand.simulation.backends.choice_only import ChoiceOnlyBackend
from llmdemand.simulation.backends.recorded import RecordedBackend
from llmdemand.simulation.backends.synthetic import SyntheticBackend
from llmdemand.simulation.run import estimate
from llmdemand.simulation.storing.store import Store

STUDY = load_study("pampers")


@pytest.fixture
def store(tmp_path):
    path = tmp_path / "s.sqlite"
    simulate(STUDY, "synthetic", runs=3, seed=5, store=path)
    return path


def test_a_recorded_study_is_replayed_without_its_model(store):
    fresh = simulate(STUDY, "synthetic", runs=3, seed=5)
    replayed = simulate(STUDY, RecordedBackend(store), runs=3, seed=5)
    pd.testing.assert_frame_equal(replayed.frame, fresh.frame)
    assert replayed.provenance["model"] == fresh.provenance["model"]
    fewer = simulate(STUDY, RecordedBackend(store), runs=2, seed=5)
    assert len(fewer) == 32


def test_a_recorded_study_is_extracted_anew_with_another_menu(store):
    # Huggies and Pampers change ids: only the menu differs, and with it what is read.
    menu = Menu(
        (
            Alternative("pampers", "Pampers", ("Pampers",)),
            Alternative("huggies", "Huggies", ("Huggies",)),
            Alternative("neither", "neither", ("none of these",), outside=True),
        )
    )
    other = replace(STUDY, menu=menu)
    first = simulate(STUDY, RecordedBackend(store), runs=3, seed=5).frame
    found = simulate(other, RecordedBackend(store), runs=3, seed=5).frame
    assert found["text"].tolist() == first["text"].tolist(), "the same answers"
    said_neither = first["choice"] == "neither"
    assert said_neither.any() and found["choice"][said_neither].isna().all()
    brands = first["choice"].isin(["pampers", "huggies"])
    assert found["choice"][brands].tolist() == first["choice"][brands].tolist()
    # "neither" no longer decides anything: its probability is undecided, not lost.
    assert (found["decided_mass"][brands] < first["decided_mass"][brands] - 0.01).any()


@pytest.mark.parametrize(("runs", "seed"), [(4, 5), (3, 6)])
def test_what_was_not_recorded_cannot_be_replayed(store, runs, seed):
    with pytest.raises(BackendError, match=r"holds no answer to run \d+-\d+"):
        simulate(STUDY, RecordedBackend(store), runs=runs, seed=seed)
    with Store(store) as opened:
        assert len(opened) == 48


def test_a_store_of_several_sources_needs_a_choice(store):
    flat = SyntheticBackend(STUDY, slope=-0.1)
    simulate(STUDY, flat, runs=3, seed=5, store=store)
    with pytest.raises(UsageError, match="holds 2 sources: choose one with --model among"):
        RecordedBackend(store)
    with pytest.raises(UsageError, match="holds 0 sources for other"):
        RecordedBackend(store, model="other")
    for name in (flat.model, f"synthetic:{flat.model}"):
        replayed = simulate(STUDY, RecordedBackend(store, model=name), runs=3, seed=5)
        expected = simulate(STUDY, flat, runs=3, seed=5)
        pd.testing.assert_frame_equal(replayed.frame, expected.frame)


def test_what_is_no_store_cannot_be_replayed(tmp_path):
    with pytest.raises(UsageError, match="no response store at"):
        RecordedBackend(tmp_path / "nothing.sqlite")
    assert not list(tmp_path.iterdir())


def cheaper(system, user):
    """Always the cheaper one, as the prompt shows it."""
    lines = [line for line in user.splitlines() if line.startswith("- ")]
    price = {line[2:].split(":")[0]: float(line.split(":")[1].split()[0]) for line in lines}
    return f"I take {min(price, key=price.get)}." if price["Pampers"] < 44 else "Neither, thanks."


async def cheaper_later(system, user):
    await asyncio.sleep(0.001)
    return cheaper(system, user)


@pytest.mark.parametrize("ask", [cheaper, cheaper_later], ids=["function", "coroutine"])
@pytest.mark.parametrize("concurrency", [1, 8])
def test_choices_are_read_from_the_text_and_there_is_no_belief(ask, concurrency):
    panel = simulate(STUDY, ChoiceOnlyBackend(ask, "frugal", concurrency=concurrency), runs=2)
    assert set(panel.frame["status"]) == {"no_logprobs"}
    by_price = panel.frame.groupby("price_pampers")["choice"].unique()
    assert all(set(by_price[p]) == {"huggies"} for p in range(31, 44))
    assert set(by_price[44]) == set(by_price[45]) == {"neither"}
    assert panel.frame["belief_pampers"].isna().all()
    assert set(panel.frame["backend"]) == {"choice_only"}


def test_functions_run_at_the_same_time_up_to_the_given_number():
    together = threading.Barrier(4)

    def ask(system, user):
        # Fewer at a time would wait for each other in vain.
        together.wait(10)
        return "Huggies"

    panel = simulate(STUDY, ChoiceOnlyBackend(ask, "four", concurrency=4), runs=1)
    assert set(panel.frame["choice"]) == {"huggies"}


def test_a_function_may_see_the_whole_request():
    def ask(system, user, request):
        likes = 0.5 - 0.535 * (request.cell.prices["pampers"] - 36)
        return "Pampers" if request.seed % 1000 / 1000 < 1 / (1 + 2.718**-likes) else "Huggies"

    panel = simulate(STUDY, ChoiceOnlyBackend(ask, "logit"), runs=20)
    found = fit_demand(panel, "choice")
    assert found.fit.params["price"] == pytest.approx(-0.535, abs=0.2)
    assert found.fit.nobs == 320


def test_choice_only_answers_are_stored_under_their_models_name(tmp_path):
    path, asked = tmp_path / "s.sqlite", []

    def ask(system, user):
        asked.append(user)
        return "Huggies"

    for name in ("one", "one", "two"):
        simulate(STUDY, ChoiceOnlyBackend(ask, name), runs=1, store=path)
    assert len(asked) == 32


@pytest.mark.parametrize(
    ("text", "status"), [("", "no_output"), ("I'm sorry, I can't help.", "refusal")]
)
def test_empty_answers_and_refusals_are_told_apart(text, status):
    panel = simulate(STUDY, ChoiceOnlyBackend(lambda system, user: text, "odd"), runs=1)
    assert panel.statuses[status] == 16


def test_what_is_no_text_or_no_function_is_said():
    with pytest.raises(BackendError, match="run 0-0 with NoneType"):
        simulate(STUDY, ChoiceOnlyBackend(lambda system, user: None, "none"), runs=1)
    for ask, name in (("no function", "name"), (cheaper, "")):
        with pytest.raises(UsageError, match="needs a function and a name"):
            ChoiceOnlyBackend(ask, name)


def test_what_a_function_raises_comes_out_and_answers_before_it_are_kept(tmp_path):
    asked = []

    def ask(system, user):
        asked.append(user)
        if len(asked) == 5:
            raise ZeroDivisionError("my own mistake")
        return "Huggies"

    with pytest.raises(ZeroDivisionError, match="my own mistake"):
        simulate(STUDY, ChoiceOnlyBackend(ask, "m"), runs=1, store=tmp_path / "s.sqlite")
    with Store(tmp_path / "s.sqlite") as opened:
        assert len(opened) == 4


def test_a_server_is_asked_for_text_alone_reasoning_models_too(fake_server, complete):
    fake_server.answer = lambda body, call: (200, complete("Huggies"), {})
    backend = ChoiceOnlyBackend.server(model="o3-mini", base_url=fake_server.url)
    panel = simulate(STUDY, backend, runs=1, store=":memory:")
    assert len(fake_server.requests) == 16, "there is nothing to be probed"
    assert all("logprobs" not in b and "top_logprobs" not in b for b in fake_server.requests)
    assert set(panel.frame["status"]) == {"no_logprobs"}
    assert set(panel.frame["choice"]) == {"huggies"}


def test_an_estimate_of_what_is_recorded_asks_for_nothing(store):
    found = estimate(STUDY, RecordedBackend(store), runs=3, seed=5, store=store)
    assert (found.asked, found.stored) == (0, 48)
