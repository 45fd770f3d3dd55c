"""A judge over real HTTP and in the embedded model: what it is asked, what is kept of it."""

import importlib.util
import math
import re
from collections import Counter
from dataclasses import replace

import pytest

import llmdemand as ld
from llmdemand.belief.auditing.position import judge_position
from llmdemand.belief.final.reading import Setting
from llmdemand.core.menu import Alternative, Menu
from llmdemand.errors import BudgetReached, UsageError
from llmdemand.simulation.backends.choice_only import ChoiceOnlyBackend
from llmdemand.simulation.backends.local import LocalBackend
from llmdemand.simulation.backends.openai import OpenAIBackend
from llmdemand.simulation.backends.weights import weights_path
from llmdemand.simulation.cost import Prices
from llmdemand.simulation.judge import Judge, judged, judging, texts_of
from llmdemand.simulation.requests import requests
from llmdemand.simulation.storing.earlier import Earlier
from llmdemand.simulation.storing.records import Source, key
from llmdemand.simulation.storing.store import Store

INSTALL = 'pip install ".[local]" && llmdemand model get'
installed = importlib.util.find_spec("xllamacpp") is not None and weights_path() is not None
DIAPERS = Menu.of("Pampers", "Huggies", outside="neither")
LISTED = {"H": math.log(0.6), "P": math.log(0.3), "un": math.log(0.1)}


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def answered(*texts, stopped=()):
    """A panel in which a model has given these answers, the last of them in its last runs."""
    study = ld.load_study("pampers")
    told = iter(texts * 16)
    backend = ChoiceOnlyBackend(lambda system, user: next(told), "scripted")
    return ld.simulate(study, backend, runs=1, seed=1)


@pytest.fixture
def judge(fake_server, complete, monkeypatch, tmp_path):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")

    def answer(body, call):
        # The token drawn is "P", although the judge believes more in Huggies.
        tokens = [("P", LISTED["P"], LISTED), ("ampers", -0.001, {"ampers": -0.001})]
        return 200, complete("Pampers", tokens), {}

    fake_server.answer = answer
    backend = OpenAIBackend("judge-1", base_url=fake_server.url)
    return Judge(backend, store=tmp_path / "judge.sqlite", probe=False, prices=Prices(1.0, 1.0))


def test_the_judge_is_asked_for_the_name_first_and_shown_text_and_options(judge, fake_server):
    judge.read("I'd {take} Huggies.", DIAPERS, Setting())
    shown = fake_server.requests[0]["messages"][1]["content"]
    assert "I'd {take} Huggies." in shown
    # The brands in either order, see below.
    assert "- neither\n- unclear" in shown and {"- Pampers", "- Huggies"} < set(shown.split("\n"))
    assert fake_server.requests[0]["logprobs"] is True
    assert judging(["x"], DIAPERS).answer_first


def test_its_belief_is_kept_and_what_it_believes_most_is_the_choice(judge):
    found = judge.judgements(["Huggies."], DIAPERS)["Huggies."]
    assert found.choice == "huggies" and found.said == "Pampers"
    assert found.belief == pytest.approx((0.3, 0.6, 0.0, 0.1))


def test_texts_that_come_again_are_asked_once_and_stored(judge, fake_server):
    panel = answered("I'd take Huggies.", "Pampers for me.")
    assert texts_of(panel) == ["I'd take Huggies.", "Pampers for me."]
    assert judge.estimate(texts_of(panel), DIAPERS).asked == 2
    first = judged(panel, judge)
    assert len(fake_server.requests) == 2
    assert judge.estimate(texts_of(panel), DIAPERS).stored == 2
    again = judged(panel, judge)
    assert len(fake_server.requests) == 2 and again.frame.equals(first.frame)
    # Two texts more, in later runs: the stored ones keep their place.
    judge.judgements([*texts_of(panel), "Neither, thanks.", ""], DIAPERS)
    assert len(fake_server.requests) == 3


def test_a_judged_panel_has_its_choices_beliefs_and_provenance(judge, tmp_path):
    panel = judged(answered("I'd take Huggies.", "Pampers for me."), judge)
    panel.write(tmp_path / "judged.parquet")
    panel = ld.Panel.read(tmp_path / "judged.parquet")
    frame = panel.frame
    assert set(frame["final_choice"]) == {"huggies"} and set(frame["final_status"]) == {"read"}
    assert frame["judge_huggies"].tolist() == pytest.approx([0.6] * 16)
    assert frame["judge_unread"].tolist() == pytest.approx([0.1] * 16)
    # The pivot rule reads Pampers in every second answer, the judge Huggies in all.
    assert frame["mismatch"].sum() == 8
    assert panel.provenance["final_reader"] == "judge"
    assert panel.provenance["judge"]["model"] == "judge-1"


def test_what_a_judge_costs_is_known_before_and_bounded(judge):
    expected = judge.estimate(["one", "two", "three"], DIAPERS)
    assert expected.asked == 3 and expected.usd is not None and expected.usd[1] > 0
    poor = Judge(judge.backend, budget=1e-9, probe=False, prices=Prices(1.0, 1.0))
    with pytest.raises(BudgetReached):
        poor.judgements(["one"], DIAPERS)


def test_unclear_is_unread_and_a_judge_without_log_probabilities_is_taken_at_its_word():
    said = {"a": "unclear", "b": "neither"}
    backend = ChoiceOnlyBackend(
        lambda system, user: said[user.split("<answer>\n")[1].split("\n")[0]], "plain"
    )
    found = Judge(backend).judgements(["a", "b", " "], DIAPERS)
    assert [found[t].choice for t in ("a", "b", " ")] == [None, "neither", None]
    assert all(map(math.isnan, found["b"].belief))


# --- the order of the options

BRANDS = Menu.of("Pampers", "Huggies", "Luvs", outside="neither")
TEXTS = [f"Answer {k}." for k in range(24)]
MANY = [f"Answer {k}." for k in range(240)]


class First:
    """A judge that reads nothing: it names whatever it is shown first."""

    def __init__(self):
        self.asked = []

    def __call__(self, system, user):
        self.asked.append(user)
        return user.rsplit("The options:\n- ", 1)[1].split("\n")[0]

    def judge(self, **options):
        options = {"store": ":memory:", "progress": False} | options
        return Judge(ChoiceOnlyBackend(self, "first"), **options)


def test_what_a_judge_owes_to_the_first_place_is_spread_evenly():
    for mode in ("chat", "completion"):
        found = First().judge(mode=mode).judgements(MANY, BRANDS)
        # Every order as often on average: six of three brands, the others last. Five standard
        # deviations of a count are allowed.
        orders = Counter(j.order for j in found.values())
        assert len(orders) == 6
        assert all(abs(n - 40) < 5 * math.sqrt(240 * 5 / 36) for n in orders.values())
        assert {j.order[3:] for j in found.values()} == {("neither", "unread")}
        assert all(j.order[0] == j.choice for j in found.values())
    # What the menu's order would have made of it.
    fixed = First().judge(orders="fixed").judgements(TEXTS, BRANDS)
    assert {(j.choice, j.order) for j in fixed.values()} == {
        ("pampers", (*BRANDS.ids, "unread")),
    }


def test_an_outside_option_takes_turns_where_the_study_says_so():
    found = First().judge().judgements(MANY, BRANDS, outside_last=False)
    first = Counter(j.choice for j in found.values())
    assert set(first) == set(BRANDS.ids)
    assert all(abs(n - 60) < 5 * math.sqrt(240 * 3 / 16) for n in first.values())
    study = replace(
        ld.load_study("pampers"), outside_offer="- {label}", outside_last=False, orders="rotate"
    )
    told = iter(TEXTS)
    panel = ld.simulate(study, ChoiceOnlyBackend(lambda s, u: next(told), "x"), runs=1, seed=1)
    assert "neither" in set(judged(panel, First().judge()).frame["final_choice"])


def test_a_judge_that_reads_is_right_in_every_order():
    def reads(system, user):
        answer = user.split("<answer>\n")[1].split("\n")[0]
        return next(a.label for a in BRANDS if a.label in answer)

    texts = {f"{k}: {a.label}": a.id for k in range(6) for a in BRANDS}
    found = Judge(ChoiceOnlyBackend(reads, "reader"), progress=False).judgements(texts, BRANDS)
    assert {text: j.choice for text, j in found.items()} == texts
    assert len({j.order for j in found.values()}) == 6


def test_orders_depend_on_seed_and_texts_alone(tmp_path):
    def orders(judge, texts=TEXTS):
        return [j.order for j in judge.judgements(texts, BRANDS).values()]

    first = orders(First().judge())
    assert orders(First().judge(concurrency=4)) == first
    assert orders(First().judge(seed=2)) != first
    # More texts behind them, and a start that was broken off.
    assert orders(First().judge(), [*TEXTS, "Another.", "One more."])[:24] == first
    kept = tmp_path / "judge.sqlite"
    begun, rest = First(), First()
    begun.judge(store=kept).judgements(TEXTS[:7], BRANDS)
    assert rest.judge(store=kept).estimate(TEXTS, BRANDS).stored == 7
    assert orders(rest.judge(store=kept)) == first
    assert (len(begun.asked), len(rest.asked)) == (7, 17)


def test_the_rows_of_a_panel_may_stand_in_any_order():
    panel = answered(*TEXTS[:16])
    judged_, turned = (
        judged(p, First().judge()).frame.set_index("run_id")[["final_choice", "judged_order"]]
        for p in (panel, replace(panel, frame=panel.frame.iloc[::-1]))
    )
    assert judged_.equals(turned.loc[judged_.index])
    assert set(judged_["final_choice"]) == {"pampers", "huggies"}


def test_texts_read_one_by_one_are_not_all_shown_the_same_order():
    judge = First().judge()
    choices = Counter(judge.read(text, BRANDS, Setting()).choice for text in TEXTS)
    assert set(choices) == set(BRANDS.ids[:3]) and max(choices.values()) < 16


def test_what_was_stored_before_orders_were_drawn_is_found(tmp_path):
    # Keys as the version wrote them that knew the menu's order only.
    texts = ["Huggies it is.", "Pampers."]
    backend = ChoiceOnlyBackend(First(), "parrot")
    keys = {
        "chat": [
            "95361672026e97f5ac7a44db3b44d1c87b17b85f6a2bd8234848ea4fe937b527",
            "d6105a399033db74eb644f234d04c26087a78dbcc80cafa9b02095ce9cfe09f9",
        ],
        "completion": [
            "2d5e1f3405d5288a804c2e990616b9e2b9900fd65dc7806ace1fd5b29217dcd2",
            "a693eb0d854b5665ebdb9a2cbf1ec56f8a217b9e143fc14c675827da7d4f9b5d",
        ],
    }
    for mode, before in keys.items():
        study, source = judging(texts, DIAPERS, mode, "fixed"), Source.of(backend)
        with Store(":memory:") as store:
            earlier = Earlier(study, 1, store, source, always=True)
            made = [key(*earlier.requests(r), source) for r in requests(study, 1, 1)]
        assert made == before
    kept, again = tmp_path / "judge.sqlite", First()
    First().judge(store=kept, orders="fixed").judgements(TEXTS, DIAPERS)
    found = again.judge(store=kept).judgements(TEXTS, DIAPERS)
    # Of two orders one is the menu's: such texts are found as they were, the others are asked.
    turned = [text for text, j in found.items() if j.order[0] != "pampers"]
    assert 0 < len(again.asked) == len(turned) < 24


def test_a_judge_locked_to_the_first_place_is_said(tmp_path):
    panel = answered(*TEXTS[:16])
    judged(panel, First().judge()).write(tmp_path / "judged.parquet")
    read = ld.Panel.read(tmp_path / "judged.parquet")
    assert read.provenance["judge"]["orders"] == "rotate"
    assert set(read.frame["judged_order"]) == {
        "pampers>huggies>neither>unread",
        "huggies>pampers>neither>unread",
    }
    note = judge_position(read)
    assert "shown first in 16 of 16 texts, 2 shown first in turn; POSITION-LOCKED" in note
    assert note in ld.audit(read).note
    # The answers themselves are not locked; one that reads is not either.
    assert not ld.audit(read).position_locked and not judge_position(panel)
    steady = Judge(ChoiceOnlyBackend(lambda s, u: "Pampers", "parrot"), progress=False)
    said = judge_position(judged(panel, steady))
    assert re.search(r"shown first in \d+ of 16 texts", said) and "LOCKED" not in said
    # With one order, or none recorded, it cannot be known.
    fixed = judged(panel, First().judge(orders="fixed"))
    assert "cannot be told" in judge_position(fixed)
    unknown = replace(fixed, frame=fixed.frame.drop(columns="judged_order"))
    assert "menu's order in every text" in judge_position(unknown)


def test_orders_and_seeds_that_there_are_not_are_refused():
    with pytest.raises(UsageError, match="orders='cross': use one of rotate, fixed"):
        First().judge(orders="cross")
    with pytest.raises(UsageError, match="seed=-1"):
        First().judge(seed=-1)


def test_an_alternative_may_not_have_the_judges_own_word():
    menu = Menu((Alternative("unread", "a book unread"), Alternative("other", "films")))
    with pytest.raises(UsageError, match="rename it"):
        judging(["x"], menu)


ENDS = (".", " today.", ", as always.", " for my child.")


@pytest.mark.local
@pytest.mark.skipif(not installed, reason=f"the embedded model is missing: {INSTALL}")
def test_the_embedded_model_judges():
    judge = Judge(LocalBackend(), mode="completion", orders="fixed")
    texts = [f"I would buy {brand}{end}" for brand in ("Huggies", "Pampers") for end in ENDS]
    found = judge.judgements(texts, DIAPERS)
    # Whatever it draws: now and then it names nothing.
    named = {text: j.belief for text, j in found.items() if not math.isnan(j.belief[0])}
    assert len(named) > 4 and all(sum(b) == pytest.approx(1) for b in named.values())
    means = {
        brand: sum(b[1] for text, b in named.items() if brand in text)
        / sum(brand in text for text in named)
        for brand in ("Huggies", "Pampers")
    }
    # It is a small model: it need not be right, but it has read the text.
    assert means["Huggies"] > means["Pampers"] + 0.1
    assert repr(judge.judgements(texts, DIAPERS)) == repr(found)
