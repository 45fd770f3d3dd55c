"""Tokens that do not tell the story of the text are a status with a reason, not a number."""

import math
import warnings

import pytest

from llmdemand.belief.extract import extract
from llmdemand.belief.tokens import Response, Token
from llmdemand.core.menu import Menu

DIAPERS = Menu.of("Pampers", "Huggies", outside="neither")
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    NUMBERS, PAIR = Menu.of("1", "2", "10"), Menu.of("1", "2")
LISTED = {" H": math.log(0.6), " P": math.log(0.3)}


def token(text, **fields):
    listed = LISTED if text in (" H", " P") else {text: -0.1}
    return Token.of(text, fields.get("logprob", -0.5), listed)


def said(*pieces, text=None, **fields):
    return Response(
        tuple(token(p) for p in pieces), "".join(pieces) if text is None else text, **fields
    )


def read(response, menu=DIAPERS, **options):
    return extract(response, menu, **options)


TORN = {
    "a thought that the prompt opened": (
        said("Okay", ",", " P", "ampers", "?", " </think>", " H", "uggies"),
        "thinking_open=True",
    ),
    "another model's tag": (said("P", "ampers", "[/THINK]", " H", "uggies"), "[/THINK]"),
    "first tokens missing": (said(" H", "uggies", text="I choose Huggies"), "are missing"),
    "only the last chunk": (said("uggies", text="I choose Huggies"), "are missing"),
    "a thought that no field has": (
        said("P", "ampers", "?", " H", "uggies", text="Huggies"),
        "begin with 'Pampers? '",
    ),
    "the end missing": (said("I", " choose", text="I choose Huggies"), "end before the text"),
    "half a character": (said("I ", "\ufffd", " H", text="I \u597d Huggies"), "half a character"),
    "other words": (said("We", " say", " H", text="We shall have Huggies"), "go on with"),
    "no text": (said(" H", "uggies", text=""), "no text"),
}


@pytest.mark.parametrize("case", TORN)
def test_torn_tokens_are_a_status_with_its_reason(case):
    response, reason = TORN[case]
    found = read(response)
    assert (found.status, found.choice, found.pivot_index) == ("torn_tokens", None, -1)
    assert reason in found.reason
    assert all(math.isnan(b) for b in found.belief)


AGREE = {
    "white space is stripped": said(" H", "uggies", text="Huggies"),
    "a special token at the end": said(" H", "uggies", "<|im_end|>", text="Huggies"),
    "a stop sequence": said(" H", "uggies", "\n\n", "User:", text="Huggies"),
    "tokens differ after the pivot": said(" H", "uggies", " it", " was", text="Huggies it is"),
    "a thought in a field of its own": said(
        "<think>", "P", "ampers?", "</think>", "\n", " H", "uggies", text="Huggies", thought="P"
    ),
    "a thought without its tags": said(
        "P", "ampers?", "\n", " H", "uggies", text="Huggies", thought="Pampers?"
    ),
    "channels whose markup is not shown": said(
        "analysis", "P", "ampers?", "assistant", "final", " H", "uggies",
        text="Huggies", thought="Pampers?",
    ),
    "channels in the text": said(
        "<|channel|>", "analysis", "<|message|>", "P", "ampers?", "<|end|>", "<|start|>",
        "assistant", "<|channel|>", "final", "<|message|>", " H", "uggies", "<|return|>",
    ),
    "Mistral's thoughts": said("[THINK]", "P", "ampers?", "[/THINK]", " H", "uggies"),
    "an empty token in mid-text": said("I", "", " choose", " H", "uggies"),
}  # fmt: skip


@pytest.mark.parametrize("case", AGREE)
def test_what_is_no_disagreement_is_read(case):
    found = read(AGREE[case])
    assert (found.status, found.choice) == ("ok", "huggies"), found.reason
    assert found.belief == pytest.approx((1 / 3, 2 / 3, 0))


def test_a_thought_that_was_opened_in_the_prompt_is_read_where_that_is_said():
    found = read(TORN["a thought that the prompt opened"][0], thinking_open=True)
    assert (found.choice, found.pivot_index) == ("huggies", 6)


def test_a_thought_that_did_not_end_is_no_answer():
    cut = said("<think>", "P", "ampers", text="", thought="Pampers", finish_reason="length")
    assert read(cut).status == "no_output"


def test_an_empty_token_ends_no_name_in_mid_text():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        menu = Menu.of("Coke", "Coke Zero")
    found = read(said("Coke", "", " Zero"), menu)
    assert (found.choice, found.pivot_index) == ("coke_zero", 2)


def test_what_was_torn_on_delivery_or_failed_keeps_its_reason():
    torn = read(Response((token(" H"),), " H", trouble="the prompt is echoed"))
    assert (torn.status, torn.reason) == ("torn_tokens", "the prompt is echoed")
    failed = read(Response((), "", "failed", trouble="rate limit"))
    assert (failed.status, failed.reason) == ("failed", "rate limit")


@pytest.mark.parametrize("lost", ["\ufffd", " \ufffd", "\u0120P", "\u2581zz"])
def test_candidates_that_cannot_be_placed_widen_the_bounds(lost):
    listed = {" H": math.log(0.5), " P": math.log(0.2), " the": math.log(0.1), lost: math.log(0.15)}
    found = read(Response((Token.of(" H", -0.7, listed),), " H"))
    assert found.belief == pytest.approx((2 / 7, 5 / 7, 0))
    masses = (found.decided_mass, found.undecided_mass, found.tail_mass)
    assert masses == pytest.approx((0.7, 0.1, 0.2))
    assert found.lower == pytest.approx((0.2 / 0.9, 0.5 / 0.9, 0))
    assert found.upper == pytest.approx((0.4 / 0.9, 0.7 / 0.9, 0.2 / 0.9))
    halved = read(Response((Token.of(" H", -0.7, listed),), " H"), temperature=0.5)
    # The lost candidate may decide for either: its tempered weight is known exactly.
    assert halved.upper[1] >= (0.25 + 0.15**2) / (0.25 + 0.04 + 0.15**2)
    assert halved.lower[1] <= 0.25 / (0.25 + 0.04 + 0.15**2)


def test_empty_candidates_are_no_end_where_an_empty_token_was_none():
    listed = {" H": math.log(0.5), " P": math.log(0.2), "": math.log(0.1)}
    pivot = Token.of(" H", -0.7, listed)
    ended = read(Response((token("I"), pivot), "I H"))
    hollow = read(Response((token("I"), token(""), pivot), "I H"))
    assert (ended.undecided_mass, ended.tail_mass) == pytest.approx((0.1, 0.2))
    assert (hollow.undecided_mass, hollow.tail_mass) == pytest.approx((0.0, 0.3))


@pytest.mark.parametrize(
    ("text", "choice"),
    [
        ("At $2.50 I pick 1", "alt_1"),
        ("At $ 2 each I choose 1.", "alt_1"),
        ("For 2 packs at 10 cents I pick 1", "alt_1"),
        ("I'd say 1. Thanks", "alt_1"),
        ("I want 2.", None),
        ("I like number 2", "alt_2"),
        ("I would go for 10% off, option 2", "alt_2"),
        ("option 2", "alt_2"),
        ("1) is best", "alt_1"),
        ("I'd go with 2, thanks", "alt_2"),
        ("It costs 1.10", None),
        ("2", "alt_2"),
    ],
)
def test_prices_units_and_counts_are_no_labels(text, choice):
    import re

    pieces = re.findall(r"\s?(?:\d+|[^\W\d]+(?:'\w+)?|[^\w\s])", text)
    assert "".join(pieces) == text
    made = tuple(Token.of(p, -0.1, {p: -0.1}) for p in pieces)
    found = extract(Response(made, text, "length"), PAIR)
    assert found.choice == choice


def test_a_name_that_only_the_end_settles_says_so():
    found = read(said("1"), NUMBERS)
    assert (found.status, found.choice) == ("unresolved_at_end", "alt_1")
    assert "no end of the text is listed" in found.reason


@pytest.mark.parametrize(
    ("pieces", "choice"),
    [
        (['{"', "reason", '": "', "P", "ampers", '", "', "choice", '": "', "H"], "huggies"),
        (['{"', "options", '": ["', "P", "ampers", '"], "', "choice", '": "', "H"], "huggies"),
        (['{"', "Pampers", '": 0.2, "', "choice", '": "', "H"], "huggies"),
        (['```json\n{"', "why", '": "\\"', "P", '\\", no", "', "answer", '": "', "H"], "huggies"),
        (['{"', "brand", '": "', "P", "ampers", '"}'], "pampers"),
        (["{", "P", "ampers", "}"], "pampers"),
        (['{"', "reason", '": "', "P", "ampers"], None),
    ],
)  # fmt: skip
def test_in_json_the_reason_is_not_the_choice(pieces, choice):
    assert read(said(*pieces)).choice == choice
