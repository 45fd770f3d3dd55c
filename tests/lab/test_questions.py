"""The 150 whole answers with their labels, and how they are cut into tokens."""

from dataclasses import replace

import pytest

from llmdemand.errors import DesignError, MenuError
from llmdemand.lab.questions import load_questions, pieces

QUESTIONS = load_questions()
ANSWERS = [(q, a) for q in QUESTIONS for a in q.answers]


def test_six_languages_and_two_labels_that_agree():
    counts = {}
    for question, _ in ANSWERS:
        counts[question.language] = counts.get(question.language, 0) + 1
    assert counts == {"en": 36, "de": 22, "es": 24, "fr": 24, "zh": 22, "ja": 22}
    assert len({a.text for _, a in ANSWERS}) == 150
    assert all(a.label == a.second for _, a in ANSWERS)
    assert sum(a.unsure for _, a in ANSWERS) == 24
    assert sum(a.label is None for _, a in ANSWERS) == 10
    assert {q.menu[a.label].outside for q, a in ANSWERS if a.label == "neither"} == {True}


def test_answers_to_a_question_share_their_beginning():
    for question in QUESTIONS:
        if question.feature != "plain":
            first, *others = (pieces(a.text) for a in question.answers)
            assert all(first[0] == other[0] for other in others), question.id


def test_pieces_make_the_text_again():
    assert all("".join(pieces(a.text)) == a.text for _, a in ANSWERS)
    assert pieces("Me quedo: 3,49 €\n我选 A_1") == (
        *("Me", " qued", "o", ":", " 3", ",", "49", " €", "\n"),
        *("我", "选", " A", "_", "1"),
    )


def test_a_question_that_does_not_add_up_is_refused():
    with pytest.raises(DesignError, match=r"en-01: .* sum to 0.8"):
        replace(
            QUESTIONS[0], answers=[replace(a, probability=0.4) for a in QUESTIONS[0].answers[:2]]
        )
    with pytest.raises(MenuError, match="luvs"):
        replace(QUESTIONS[0], answers=[replace(QUESTIONS[0].answers[0], second="luvs")] * 2)
