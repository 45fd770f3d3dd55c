"""Answers that are numbers: where they are settled, and what whole answers say."""

import math
import re

import numpy as np
import pytest

import llmdemand as ld
from llmdemand.belief.automaton import Automaton
from llmdemand.belief.extract import Extractor
from llmdemand.belief.final.reading import Setting
from llmdemand.belief.final.rules import Rules
from llmdemand.belief.tokens import Response, Token
from llmdemand.core.menu import Alternative, Menu
from llmdemand.core.questionnaire.question import INTENTION, Question

COFFEE = (Alternative("coffee", "Aroma"),)
PACKS = Question("quantity", 12, "packs", products=COFFEE).menu()
FIVE = Question("quantity", 5, "packs", products=COFFEE).menu()
RATING = Question("rating", 5, labels=INTENTION, products=COFFEE).menu()

# Text; token and answer at the pivot ("" for the end of the text); answer of the whole text.
QUANTITIES = [
    ("3 packs", "3", 3, 3),
    ("I would buy 2", " 2", 2, 2),
    ("three", "three", 3, 3),
    ("10", "0", 10, 10),
    ("1", "", 1, 1),
    ("1.", ".", 1, 1),
    ("1 pack", " pack", 1, 1),
    ("12 packs", "2", 12, 12),
    ("13", "", None, None),
    ("none", "none", 0, 0),
    ("zero", "zero", 0, 0),
    ("Nothing at this price.", "Nothing", 0, 0),
    ("No packs.", " packs", 0, 0),
    ("I would buy 0 packs.", " 0", 0, 0),
    ("I would not buy any packs.", "", None, 0),
    ("At $2.50 I would buy 3.", " 3", 3, 3),
    ("At 35 cents, I'd probably buy 4.", " 4", 4, 4),
    ("It would be 3 packs.", " packs", 3, 3),
    ("For 3 reasons I'd buy 4 packs.", " 4", 4, 4),
    ("I have 2 children and would buy 3 packs.", " 3", 3, 3),
    ("Quantity: 3", " 3", 3, 3),
    ("**3**", "3", 3, 3),
    ("eleven", "eleven", 11, 11),
    ('{"packs": 2, "reason": "3 kids"}', " 2", 2, 2),
    ("1 or 2 packs", " or", 1, None),
    ("2-3 packs", "2", 2, None),
    ("2.5 packs", "2", 2, None),
    ("100", "0", 10, None),
    ("The first one is too dear.", "", None, None),
    ("Outside my budget.", "", None, None),
]
RATINGS = [
    ("4 - probably would buy", "4", 4, 4),
    ("4/5", "4", 4, 4),
    ("4 out of 5", "4", 4, 4),
    ("I'd rate it 4 out of 5.", " 5", 4, 4),
    ("On a scale from 1 to 5, I'd say 4", " 4", 4, 4),
    ("Rating: 4", " 4", 4, 4),
    ("I would give it a 3.", "", 3, 3),
    ("Probably would not buy", " not", 2, 2),
    ("probably would buy", " buy", 4, 4),
    ("Definitely not", " not", 1, 1),
    ("I probably would not buy this.", " not", 2, 2),
    ("2 - probably would not buy. At 40 cents it is too dear.", "2", 2, 2),
    ("four", "four", 4, 4),
    ("10", "1", 1, None),
    ("6", "", None, None),
    ("3 or 4", "3", 3, None),
]


def pivot(menu, text, first):
    automaton = Automaton(menu, answer_first=first)
    place = automaton.start
    for token in re.findall(r"\s?\d|\s?[A-Za-z']+|\s?[^\sA-Za-z\d]|\s", text):
        place, outcome = place[token.encode()]
        if outcome >= 0:
            return token, outcome
    return "", automaton.end(place)


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize(
    ("menu", "text", "token", "number", "whole"),
    [(PACKS, *row) for row in QUANTITIES] + [(RATING, *row) for row in RATINGS],
)
def test_where_a_number_is_settled_and_what_it_is(menu, text, token, number, whole, first):
    low = 0 if menu is PACKS else 1
    found, outcome = pivot(menu, text, first)
    assert (found, None if outcome < 0 else outcome + low) == (token, number)
    read = Rules().read(text, menu, Setting(answer_first=first)).choice
    assert read == (None if whole is None else f"{menu.ids[0][0]}{whole}")


def test_digits_that_label_brands_are_read_as_before():
    """A count is no label where the menu is not one of numbers."""
    brands = Menu((Alternative("a", "A", ("1",)), Alternative("b", "B", ("2",))))
    assert not brands.numeric and FIVE.numeric and RATING.numeric
    assert pivot(brands, "I would buy 2 packs", False) == ("", -1)


def said(menu, *tokens):
    """An answer whose tokens come with the candidates of each: text, or (text, candidates)."""
    made = []
    for token in tokens:
        text, listed = token if isinstance(token, tuple) else (token, {token: 1.0})
        logs = {t: math.log(p) for t, p in listed.items()}
        made.append(Token.of(text, logs[text], logs))
    text = "".join(t if isinstance(t, str) else t[0] for t in tokens)
    return Extractor(menu, answer_first=True)(Response(tuple(made), text, "stop"))


def test_ten_against_one_is_told_by_the_next_token():
    listed = {"1": 0.4, "2": 0.3, "3": 0.3}
    two = said(PACKS, ("2", listed), ".")
    assert two.choice == "q2" and two.belief[2] == pytest.approx(0.5)
    assert two.undecided_mass == pytest.approx(0.4)
    then = {"0": 0.25, " packs": 0.75}
    ten = said(PACKS, ("1", listed), ("0", then), ".")
    one = said(PACKS, ("1", listed), (" packs", then), ".")
    assert (ten.choice, one.choice) == ("q10", "q1")
    assert ten.belief == one.belief and ten.belief[10] == pytest.approx(0.25)
    # The law of total probability: belief is unbiased for 10, whichever token tells it.
    mean = 0.4 * ten.belief[10] + 0.6 * two.belief[10]
    assert mean == pytest.approx(0.4 * 0.25)


def test_whole_numbers_as_tokens_compete_at_one_pivot():
    listed = {"10": 0.2, "2": 0.5, "1": 0.3}
    found = said(PACKS, ("10", listed), ".")
    assert found.choice == "q10" and found.belief[10] == pytest.approx(0.2 / 0.7)


@pytest.mark.parametrize("tokens", [("5", "0"), ("2", ".", "5"), (" 1", "0", "0"), ("3", ",000")])
def test_a_number_that_goes_on_is_no_answer(tokens):
    found = said(FIVE, *tokens)
    assert found.status == "unread" and "goes on to" in found.reason
    assert said(FIVE, tokens[0], ".").status == "ok"
    assert said(FIVE, tokens[0], ". Yes").status == "ok"


def test_belief_in_many_digits_has_the_law_of_the_answers():
    """By digits, whole, and stopped by another number: the means are the truth."""
    from dataclasses import replace

    study = ld.load_study("coffee-packs")
    question = replace(study.question, max=12)
    study = replace(study, question=question, menu=question.menu())
    for subwords in (True, False):
        backend = ld.SyntheticBackend(study, subwords=subwords, icc=0.1)
        panel = ld.simulate(study, backend, runs=120, seed=2)
        assert set(panel.frame["status"]) == {"ok"}
        ids = [f"belief_{a}" for a in study.menu.ids]
        for price, rows in panel.frame.groupby("price_aroma"):
            truth = np.array(list(backend.truth({"aroma": price}).values()))
            error = np.sqrt(truth * (1 - truth) / len(rows)) + 1e-3
            assert (np.abs(rows[ids].mean().to_numpy() - truth) < 5 * error).all()
        assert panel.frame["choice"].isin(["q10", "q11", "q12"]).any()
        assert (panel.frame["final_choice"] == panel.frame["choice"]).all()
