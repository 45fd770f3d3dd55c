import tomllib
import warnings
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmdemand.belief.final.lexicon import language_of, lexicon
from llmdemand.belief.final.reading import Setting
from llmdemand.belief.final.rules import Rules
from llmdemand.core.menu import Alternative, Menu, MenuWarning

OUTSIDE = {"neither", "home", "casa", "maison"}
DIAPERS = Menu.of("Pampers", "Huggies", outside="neither")
LANGUAGES = ("de", "en", "es", "fr", "ja", "zh")


def menu_of(table):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MenuWarning)
        return Menu(
            tuple(Alternative(k, f[0], tuple(f), outside=k in OUTSIDE) for k, f in table.items())
        )


def cases(split):
    for file in sorted((Path(__file__).parent / "cases").glob("*.toml")):
        table = tomllib.loads(file.read_text("utf-8"))
        menus = {name: menu_of(menu) for name, menu in table["menus"].items()}
        for number, case in enumerate(table.get(split, {}).get("cases", [])):
            setting = Setting(prices=case.get("prices"), cut=case.get("cut", False))
            yield pytest.param(case, menus[case["menu"]], setting, id=f"{file.stem}-{number}")


def read(text, menu=DIAPERS, **setting):
    return Rules().read(text, menu, Setting(**setting))


@pytest.mark.parametrize(("case", "menu", "setting"), list(cases("design")))
def test_invented_answers_are_read_as_a_careful_reader_does(case, menu, setting):
    found = Rules().read(case["text"], menu, setting)
    assert found.choice == (case["choice"] or None), found


def test_of_answers_that_were_held_out_none_is_misread_and_few_are_left_unread():
    outcomes = Counter()
    for case, menu, setting in (p.values for p in cases("held_out")):
        choice = Rules().read(case["text"], menu, setting).choice
        right = choice == (case["choice"] or None)
        outcomes["right" if right else "unread" if choice is None else "wrong"] += 1
    total = outcomes.total()
    assert total > 100
    assert outcomes["wrong"] <= 0.02 * total and outcomes["unread"] <= 0.15 * total


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_language_has_cases_of_every_class(language):
    table = tomllib.loads((Path(__file__).parent / "cases" / f"{language}.toml").read_text("utf-8"))
    found = [case for split in ("design", "held_out") for case in table[split]["cases"]]
    assert len(found) >= 25 and any(not case["choice"] for case in found)
    assert {case["class"] for case in found} >= set(
        "plain reason concession comparison negation correction conditional list outside "
        "reference label json refusal others undecided".split()
    )


def test_evidence_and_reason_say_why():
    found = read("Both are fine.\n\nFinal answer: Pampers")
    assert (found.reason, found.evidence) == ("verdict", "Pampers")
    assert read("Pampers").reason == "name"
    assert read("I'd take Pampers. I'd take Huggies.").reason == "conflict"
    assert read("As an AI I don't buy diapers.").reason == "refusal"
    assert read("<think>Pampers").reason == "thought"
    assert read(" \n").reason == "empty"
    assert read("Well, let me see, Pampers are", cut=True).reason == "cut"


def test_the_answer_begins_after_the_last_anchor():
    text = "Answer: I compare. Pampers are soft.\nANSWER: Huggies of course"
    assert read(text, anchors=("Answer:",)).choice == "huggies"
    assert read("I'd take Pampers.", anchors=("Answer:",)).choice == "pampers"


def test_where_the_first_word_is_the_choice_a_leading_letter_is_a_label():
    letters = Menu.of("A", "B")
    assert read("A since it lasts", letters, answer_first=True).choice == "a"
    assert read("A tyre that lasts", letters).choice is None


def test_the_first_option_is_that_of_the_prompt_unless_the_text_has_named_two():
    order = ("huggies", "pampers", "neither")
    assert read("I'd take the first option.", order=order).choice == "huggies"
    assert read("I'd take the first option.").choice is None
    named = "Pampers and Huggies are both here; I'd take the first one."
    assert read(named, order=order).choice == "pampers"


def test_an_object_that_was_cut_is_read_as_far_as_it_goes():
    assert read('{"choice": "Huggies", "reason": "they are', cut=True).choice == "huggies"
    assert read('{"reason": "Pampers are soft", "cho', cut=True).choice is None
    assert read('{"choice": "Huggies", "answer": "Pampers"}').reason == "conflict"


def test_long_and_strange_texts_are_read_in_one_pass():
    # Anything but linear time would take minutes here.
    for part in ("I'd go with Pampers if ", "(", '{"a": ', "<think> </think> ", "no wait, "):
        assert read(part * 40_000).choice is None
    assert read("Pampers are soft. " * 20_000 + "I'd buy Huggies.").choice == "huggies"


@given(st.text(max_size=200), st.sampled_from(["", "Pampers ", "{", "I'd pick ", "\u6211\u9009"]))
@settings(max_examples=200)
def test_no_text_breaks_the_reader(text, beginning):
    found = read(beginning + text)
    assert found.choice in {None, *DIAPERS.ids}


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("Huggies.", "en"),
        ("no wait, huggies", "en"),
        ("antwort: a", "de"),
        ("me quedo con dodot", "es"),
        ("je prends le train", "fr"),
        ("\u6211\u9009\u597d\u5947", "zh"),
        ("\u30e1\u30ea\u30fc\u30ba\u306b\u3057\u307e\u3059", "ja"),
    ],
)
def test_the_language_is_found_from_the_text(text, language):
    assert language_of(text) == language


def test_groups_in_word_lists_are_written_out():
    phrases = lexicon("en").phrases
    assert phrases["opt for"] == phrases["going for"] == "verb"
    assert not [p for p in phrases if set(p) & set("()|")]
