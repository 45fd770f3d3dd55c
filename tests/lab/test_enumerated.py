"""Trees of answers: probabilities of tokens, and shares without a draw."""

import math

import numpy as np
import pytest

from llmdemand.errors import DesignError
from llmdemand.lab.cases import load_cases
from llmdemand.lab.enumerated import Enumerated, share, walked
from llmdemand.lab.questions import load_questions


def listed(token):
    return {
        name.decode(): math.exp(value)
        for name, value in zip(token.candidates, token.logprobs, strict=True)
    }


def test_candidates_are_what_follows_in_any_answer():
    words = [["I", " say", " H"], ["I", " say", " P", "!"], ["We", "?"]]
    one, two, three = walked(words, np.array([0.3, 0.2, 0.5]))
    assert listed(one.tokens[0]) == pytest.approx({"I": 0.495, "We": 0.495})
    assert listed(two.tokens[2]) == pytest.approx({" H": 0.594, " P": 0.396})
    assert listed(three.tokens[1]) == pytest.approx({"?": 0.99})
    assert (one.text, two.text) == ("I say H", "I say P!")
    for answer, p in zip((one, two, three), (0.3, 0.2, 0.5), strict=True):
        path = sum(token.logprob - math.log(0.99) for token in answer.tokens)
        assert math.exp(path) == pytest.approx(p)


def test_an_answer_that_begins_another_has_no_end():
    for words in ([["I"], ["I", " do"]], [["I", " do"], ["I"]]):
        with pytest.raises(DesignError, match="beginning of 'I do'"):
            walked(words, np.array([0.5, 0.5]))


def test_every_shipped_question_has_a_tree_of_its_own_probabilities():
    for question in (*load_cases(), *load_questions()):
        found = Enumerated.of(question)
        for response, p in zip(found.responses, found.probability, strict=True):
            path = sum(token.logprob - math.log(0.99) for token in response.tokens)
            assert math.exp(path) == pytest.approx(p)
            assert b"".join(t.data for t in response.tokens).decode() == response.text


def test_belief_at_a_pivot_that_parts_the_answers_is_their_probability():
    question = next(Enumerated.of(q) for q in load_questions() if q.id == "en-16")
    found = question.readings(question.labels)
    assert found.belief == pytest.approx(np.tile([0.5, 0.3, 0.2], (3, 1)))
    assert found.pivot.tolist() == found.final.tolist() == [0, 1, 2]


def test_shares_are_those_of_the_runs_that_are_read():
    outcomes, read = np.array([[1.0, 0], [0, 1], [0, 0]]), np.array([1.0, 1, 0])
    found = share(outcomes, read, np.array([0.3, 0.1, 0.6]))
    assert found.mean == pytest.approx([0.75, 0.25])
    # 0.4 of the runs count: 0.75 x 0.25 / 0.4 each.
    assert found.variance == pytest.approx([0.46875, 0.46875])
    assert np.isnan(share(outcomes, np.zeros(3), np.array([0.3, 0.1, 0.6])).mean).all()
