"""Natural and forced thoughts: two laws under two names, and how many thoughts were cut."""

from dataclasses import replace

import pytest

from llmdemand import load_study
from llmdemand.belief.audit import audit
from llmdemand.belief.readers import read_response, thoughts
from llmdemand.belief.rows import Answer, extract_panel
from llmdemand.belief.thoughts import share_cut
from llmdemand.belief.tokens import Response, Token
from llmdemand.core.panel import Panel
from llmdemand.core.study import Study
from llmdemand.errors import StudyError
from llmdemand.reporting.measures.quality import quality, shortcomings
from llmdemand.simulation.backend import AnswerFormat

PLAIN = load_study("pampers")
NATURAL = replace(PLAIN, thinking=("<think>", "</think>"))
TAGS = ("<think>", "</think>")


def spoken(*words, finish="stop", **more):
    """An answer whose words are tokens; names are listed with the other name."""
    other = {" Pampers": " Huggies", " Huggies": " Pampers"}
    tokens = [
        Token.of(w, -0.5, {w: -0.5, other[w]: -0.9327}) if w in other else Token.of(w, 0.0, {w: 0})
        for w in words
    ]
    return Response(tuple(tokens), "".join(words), finish, **more)


THOUGHT = ("<think>", " Pampers", "?", "</think>")


def panel_of(study, *responses):
    cell = study.cells()[0]
    order = study.option_orders()[0]
    answers = [Answer(cell, k, order, r) for k, r in enumerate(responses)]
    return extract_panel(study, answers)


def test_the_pivot_of_a_natural_answer_stands_after_its_thought():
    panel = panel_of(NATURAL, spoken(*THOUGHT, " Huggies"), spoken(*THOUGHT[:3], finish="length"))
    first, cut = panel.frame.to_dict("records")
    assert (first["status"], first["choice"], first["pivot_index"]) == ("ok", "huggies", 4)
    assert first["belief_huggies"] == pytest.approx(0.6065, abs=1e-3)
    assert (first["thought_cut"], cut["thought_cut"]) == (0.0, 1.0)
    assert cut["status"] == "no_pivot"
    assert panel.provenance["thoughts"] == "natural"


def test_a_thought_that_the_prompt_opens_is_one_all_the_same():
    opened = replace(PLAIN, thinking_open=True)
    answers = spoken(*THOUGHT[1:], " Huggies"), spoken(" Pampers", "?", finish="length")
    frame = panel_of(opened, *answers).frame
    assert frame["choice"][0] == "huggies" and frame["choice"].isna()[1]
    assert frame["thought_cut"].tolist() == [0.0, 1.0]


def test_a_thought_in_a_field_of_its_own_is_read_by_each_of_its_names():
    for field in ("reasoning_content", "reasoning", "thinking"):
        message = {"content": None, field: "Pampers cost too"}
        choice = {"message": message, "finish_reason": "length", "logprobs": None}
        response = read_response({"choices": [choice]})
        assert response.thought == "Pampers cost too"
        assert share_cut(response, TAGS) == 1.0
        answered = replace(response, text="Huggies")
        assert share_cut(answered, TAGS) == 0.0


@pytest.mark.parametrize(
    ("text", "finish", "opened", "share"),
    [
        ("<think>a</think>b<think>c", "length", False, 1.0),
        ("<think>a</think>b", "length", False, 0.0),
        ("<think>a", "stop", False, 0.0),
        ("a", "length", True, 1.0),
        ("a</think>b", "length", True, 0.0),
        ("a", "length", False, 0.0),
    ],
)
def test_what_counts_as_cut(text, finish, opened, share):
    assert share_cut(Response((), text, finish), TAGS, opened=opened) == share


def forced_study():
    data = PLAIN.to_dict()
    return Study.from_dict(data | {"sampling": data["sampling"] | {"thinking": {"thoughts": 2}}})


def forced(*ended):
    answer = {"text": " Huggies", "tokens": [[" Huggies", -0.5, [[" Huggies", -0.5]]]]}
    entries = [{"thought": "Hm", "ended": e, "answer": answer} for e in ended]
    return thoughts({"thoughts": entries, "usage": {}})


def test_the_share_of_forced_answers_to_half_a_thought_is_kept(tmp_path):
    panel = panel_of(forced_study(), forced(True, False), forced(True, True))
    assert panel.frame["thought_cut"].tolist() == [0.5, 0.0]
    assert panel.frame["thoughts"].tolist() == [2, 2]
    assert panel.provenance["thoughts"] == "forced"
    panel.write(tmp_path / "p.parquet")
    assert Panel.read(tmp_path / "p.parquet").frame["thought_cut"].tolist() == [0.5, 0.0]


def test_audit_and_report_say_which_and_how_many():
    cut = panel_of(NATURAL, *[spoken(*THOUGHT, " Huggies")] * 3, spoken("<think>", finish="length"))
    assert "natural thoughts, 25.0 % of them cut" in audit(cut).summary()
    assert (quality(cut).thoughts, quality(cut).thought_cut) == ("natural", 0.25)
    assert any("25.0 % of the thoughts" in s and "have no answer" in s for s in shortcomings(cut))
    half = panel_of(forced_study(), forced(True, False))
    assert any("forced after half a thought" in s for s in shortcomings(half))
    plain = panel_of(PLAIN, spoken(" Huggies"))
    assert quality(plain).thoughts == "" and not shortcomings(plain)
    assert "thoughts" not in audit(plain).summary()


def test_studies_carry_it_and_old_ones_keep_their_hash():
    assert "thinking" not in PLAIN.to_dict() and "thinking_open" not in PLAIN.to_dict()
    again = Study.from_dict(NATURAL.to_dict())
    assert again == NATURAL and again.hash != PLAIN.hash
    assert again.thoughts == "natural" and PLAIN.thoughts == "" and forced_study().thoughts
    with pytest.raises(StudyError, match="give the two tags"):
        replace(PLAIN, thinking=("<think>",))
    with pytest.raises(StudyError, match=r"thinking and sampling\.thinking are both set"):
        replace(forced_study(), thinking_open=True)
    with pytest.raises(StudyError, match="thinking_open is 1: give true or false"):
        Study.from_dict(PLAIN.to_dict() | {"thinking_open": 1})


def test_backends_stop_at_the_pivot_after_the_thought():
    automaton = AnswerFormat(NATURAL.menu, **NATURAL.reading).automaton
    place = automaton.start
    outcomes = []
    for word in (*THOUGHT, " Huggies"):
        place, outcome = place[word.encode()]
        outcomes.append(outcome >= 0)
    assert outcomes == [False] * 4 + [True]
