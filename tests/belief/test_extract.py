"""What a careful reader says of an answer, and what becomes of damaged log-probabilities."""

import math
import re
import warnings

import pytest

from llmdemand.belief.extract import extract
from llmdemand.belief.mentions import mentions
from llmdemand.belief.tokens import Response, Token
from llmdemand.core.menu import Alternative, Menu, MenuWarning
from llmdemand.errors import UsageError

DIAPERS = Menu(
    (
        Alternative("pampers", "Pampers"),
        Alternative("huggies", "Huggies"),
        Alternative("neither", "neither", ("neither", "none of them"), outside=True),
    )
)
LETTERS = Menu.of("A", "B")
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    NESTED = Menu.of("Coke", "Coke Zero", "Pepsi")
    NUMBERS = Menu.of("1", "10", "2")
    BRANDS = Menu((Alternative("a", "Brand A"), Alternative("b", "Brand B")))


def answer(text, tokens=None, **fields):
    """A response cut into words; each token lists itself and something irrelevant."""
    tokens = tokens or re.findall(r"\s?[^\W_]+(?:'\w+)?|\s?[^\w\s]+|\s|_", text)
    made = tuple(Token.of(t, math.log(0.9), {t: math.log(0.9), " zzz": -3.0}) for t in tokens)
    return Response(made, "".join(tokens), **fields)


@pytest.mark.parametrize(
    ("menu", "text", "status", "choice", "pivot"),
    [
        (DIAPERS, "Pampers", "ok", "pampers", "Pampers"),
        (DIAPERS, "pampers.", "ok", "pampers", "pampers"),
        (DIAPERS, "I would choose Pampers.", "ok", "pampers", " Pampers"),
        (DIAPERS, "**Huggies**", "ok", "huggies", "Huggies"),
        (DIAPERS, '"Huggies"', "ok", "huggies", "Huggies"),
        (DIAPERS, "_Huggies_", "ok", "huggies", "Huggies"),
        (DIAPERS, "\n\nHuggies", "ok", "huggies", "\nHuggies"),
        (DIAPERS, "Given the price gap, I'd go with Huggies", "ok", "huggies", " Huggies"),
        (DIAPERS, "Neither", "ok", "neither", "Neither"),
        (DIAPERS, "None of them", "ok", "neither", "None"),
        (DIAPERS, "I'm sorry, but I can't help with that.", "refusal", None, ""),
        (DIAPERS, "As an AI, I have no child.", "refusal", None, ""),
        (DIAPERS, "Let me think about it.", "no_pivot", None, ""),
        (DIAPERS, "   ", "no_output", None, ""),
        (DIAPERS, "I would not choose Pampers; Huggies it is", "ok", "huggies", " Huggies"),
        (DIAPERS, "Instead of Huggies, Pampers.", "ok", "pampers", " Pampers"),
        (DIAPERS, "Since Huggies cost less, I'd buy Pampers", "ok", "pampers", " Pampers"),
        (DIAPERS, "It is a choice between Pampers and Huggies.", "conflicting_mentions", None, ""),
        (DIAPERS, "It depends on the price of Pampers", "unresolved_at_end", None, ""),
        (DIAPERS, "Nothing but hampers", "no_pivot", None, ""),
        (LETTERS, "Final answer: B", "ok", "b", " B"),
        (LETTERS, "(A)", "ok", "a", "A"),
        (LETTERS, "A)", "ok", "a", ")"),
        (LETTERS, "Option A", "ok", "a", " A"),
        (LETTERS, "A good choice is B", "ok", "b", " B"),
        (LETTERS, "a bargain", "no_pivot", None, ""),
        (LETTERS, "A", "unresolved_at_end", "a", ""),
        (NESTED, "Coke Zero", "ok", "coke_zero", " Zero"),
        (NESTED, "Coke, please", "ok", "coke", ","),
        (NESTED, "Coke is it", "ok", "coke", " is"),
        (NESTED, "Coke", "unresolved_at_end", "coke", ""),
        (NESTED, "Pepsi", "ok", "pepsi", "Pepsi"),
        (NUMBERS, "10", "ok", "alt_10", "10"),
        (NUMBERS, "1.", "ok", "alt_1", "."),
        (NUMBERS, "2", "ok", "alt_2", "2"),
    ],
)
def test_a_careful_reader(menu, text, status, choice, pivot):
    found = extract(answer(text), menu)
    assert (found.status, found.choice, found.pivot_token) == (status, choice, pivot)


def test_between_names_both_and_decides_for_the_one_that_follows():
    found = extract(answer("Between Pampers and Huggies, I would pick Huggies"), DIAPERS)
    assert (found.choice, found.pivot_index, found.mismatch) == ("huggies", 8, False)


def test_the_pivot_of_a_split_word_is_its_first_piece_that_parts():
    found = extract(answer("", tokens=["P", "amp", "ers"]), DIAPERS)
    assert (found.pivot_index, found.choice, found.mismatch) == (0, "pampers", False)
    with pytest.warns(MenuWarning):
        pull_ups = Menu.of("Pampers", "Pull-Ups")
    found = extract(answer("", tokens=["P", "amp", "ers"]), pull_ups)
    assert found.pivot_index == 1


def test_a_word_that_only_began_like_a_form_is_a_mismatch():
    assert extract(answer("", tokens=["P", "lease", " wait"]), DIAPERS).mismatch


def test_an_ordinary_word_does_not_decide_for_a_form_that_it_begins():
    menu = Menu.of("Ivory", "Tide")
    found = extract(answer("I would take Tide"), menu)
    assert (found.choice, found.pivot_token) == ("tide", " Tide")


def test_an_apostrophe_begins_no_word():
    assert extract(answer("I'd take Tide"), Menu.of("Downy", "Tide")).choice == "tide"


def test_belief_is_mass_by_alternative_over_decided_mass():
    listed = {
        " Pampers": math.log(0.4),
        " P": math.log(0.1),
        " PAMP": math.log(0.05),
        " Huggies": math.log(0.2),
        " the": math.log(0.15),
        " Hampers": math.log(0.05),
    }
    token = Token.of(" Huggies", math.log(0.2), listed)
    found = extract(Response((token,), " Huggies"), DIAPERS)
    assert found.belief == pytest.approx((0.55 / 0.75, 0.2 / 0.75, 0.0))
    assert found.decided_mass == pytest.approx(0.75)
    assert found.undecided_mass == pytest.approx(0.2)
    assert found.tail_mass == pytest.approx(0.05)
    assert found.lower == pytest.approx((0.55 / 0.8, 0.2 / 0.8, 0.0))
    assert found.upper == pytest.approx((0.6 / 0.8, 0.25 / 0.8, 0.05 / 0.8))


@pytest.mark.parametrize("own", [math.log(0.1), -9999.0, math.nan])
def test_a_realised_token_outside_the_list_is_no_part_of_belief(own):
    listed = {" Pampers": math.log(0.6), " neither": math.log(0.2)}
    found = extract(Response((Token.of(" Huggies", own, listed),), " Huggies"), DIAPERS)
    assert (found.status, found.choice, found.pivot_listed) == ("ok", "huggies", False)
    assert found.belief == pytest.approx((0.75, 0.0, 0.25))
    assert (found.decided_mass, found.tail_mass) == pytest.approx((0.8, 0.2))
    assert found.lower == pytest.approx((0.6, 0.0, 0.2))
    assert found.upper == pytest.approx((0.8, 0.2, 0.4))
    # Another draw at the same place leaves the same belief.
    other = extract(Response((Token.of(" Pampers", -0.5, listed),), " Pampers"), DIAPERS)
    assert (other.belief, other.pivot_listed) == (found.belief, True)


def test_where_no_listed_candidate_decides_the_choice_alone_is_known():
    token = Token.of(" Huggies", math.log(0.1), {" the": math.log(0.5), " a": math.log(0.3)})
    found = extract(Response((token,), " Huggies"), DIAPERS)
    assert (found.status, found.choice, found.pivot_listed) == ("unlisted", "huggies", False)
    assert all(math.isnan(b) for b in found.belief)
    assert (found.lower, found.upper) == ((0.0,) * 3, (1.0,) * 3)
    assert (found.decided_mass, found.tail_mass) == pytest.approx((0.0, 0.2))


def test_of_a_list_longer_than_asked_the_most_probable_are_read():
    law = {" Huggies": math.log(0.05), " Pampers": math.log(0.5), " P": math.log(0.3)}
    response = Response((Token.of(" Huggies", law[" Huggies"], law),), " Huggies")
    found = extract(response, DIAPERS, listed=2)
    assert (found.belief, found.pivot_listed) == ((1.0, 0.0, 0.0), False)
    assert found.tail_mass == pytest.approx(0.2)


@pytest.mark.parametrize("bad", [0.1, math.nan])
def test_impossible_log_probabilities_are_a_status_and_keep_the_choice(bad):
    token = Token.of(" Huggies", -0.1, {" Huggies": -0.1, " Pampers": bad})
    found = extract(Response((token,), " Huggies"), DIAPERS)
    assert (found.status, found.choice) == ("invalid_logprobs", "huggies")
    assert all(math.isnan(b) for b in found.belief)


def test_lists_that_sum_to_more_than_one_are_invalid():
    token = Token.of(" Huggies", -0.1, {" Huggies": -0.1, " Pampers": -0.1})
    assert extract(Response((token,), " Huggies"), DIAPERS).status == "invalid_logprobs"


def test_the_sentinel_means_not_listed():
    token = Token.of(" Huggies", -0.1, {" Huggies": -0.1, " Pampers": -9999.0})
    found = extract(Response((token,), " Huggies"), DIAPERS)
    assert (found.status, found.belief) == ("ok", (0.0, 1.0, 0.0))


def test_little_decided_mass_is_a_status_with_a_threshold():
    law = {" the": math.log(0.9), " Huggies": math.log(0.04)}
    token = Token.of(" Huggies", law[" Huggies"], law)
    response = Response((token,), " Huggies")
    assert extract(response, DIAPERS).status == "low_mass"
    assert extract(response, DIAPERS, low_mass=0.03).status == "ok"
    with pytest.raises(UsageError, match="low_mass=2"):
        extract(response, DIAPERS, low_mass=2)


def test_no_tokens_refusal_field_and_cut_answers():
    assert extract(Response((), "Pampers"), DIAPERS).status == "no_logprobs"
    assert extract(Response((), ""), DIAPERS).status == "no_output"
    assert extract(Response((), "", refusal="No."), DIAPERS).status == "refusal"
    cut = extract(answer("Coke", finish_reason="length"), NESTED)
    assert (cut.status, cut.choice) == ("unresolved_at_end", None)


def test_an_end_of_text_token_decides_for_the_form_that_is_complete():
    end = Token(b"", math.log(0.6), (b"", b" Zero"), (math.log(0.6), math.log(0.3)))
    first = Token.of("Coke", -0.1, {"Coke": -0.1})
    found = extract(Response((first, end), "Coke"), NESTED)
    assert (found.status, found.choice) == ("ok", "coke")
    assert found.belief == pytest.approx((0.6 / 0.9, 0.3 / 0.9, 0))


def test_characters_split_over_tokens():
    menu = Menu((Alternative("p", "帮宝适"), Alternative("h", "好奇")))
    data = "我选好奇".encode()
    tokens = tuple(
        Token(data[k : k + 2], -0.1, (data[k : k + 2],), (-0.1,)) for k in range(0, 12, 2)
    )
    found = extract(Response(tokens, data.decode()), menu)
    assert found.choice == "h"


def test_mentions_prefer_the_longest_form():
    assert mentions("Coke Zero or Coke", NESTED) == [(0, "coke_zero"), (13, "coke")]
    assert mentions("Cokes", NESTED) == []


def listed_answer(*words):
    """Words as tokens that list themselves and one rival of the menu."""
    return answer("", tokens=list(words))


def test_nothing_is_read_before_the_first_anchor():
    words = ["Pampers", " cost", " more", ".", " Answer", ":", " H", "uggies"]
    found = extract(listed_answer(*words), DIAPERS, anchors=["Answer:", "Final answer:"])
    assert (found.choice, found.pivot_index, found.mismatch) == ("huggies", 6, False)
    assert extract(listed_answer(*words[:4]), DIAPERS, anchors="Answer:").status == "no_pivot"


def test_an_anchor_that_ends_within_a_token_leaves_the_rest_of_it_to_be_read():
    found = extract(listed_answer("final ans", "wer: A", "."), LETTERS, anchors=["Final answer:"])
    assert (found.choice, found.pivot_index) == ("a", 1)


def test_the_last_anchor_only_where_it_is_asked_for():
    words = ["Answer", ":", " A", "?", " No", ".", " Answer", ":", " B"]
    assert extract(listed_answer(*words), LETTERS, anchors=["Answer:"]).choice == "a"
    last = extract(listed_answer(*words), LETTERS, anchors=["Answer:"], last_anchor=True)
    assert (last.choice, last.pivot_index) == ("b", 8)


def test_thinking_is_never_matched():
    words = ["<think>", "Pampers", "?", " no", "</think>", "\n\n", "Huggies"]
    found = extract(listed_answer(*words), DIAPERS)
    assert (found.choice, found.pivot_index) == ("huggies", 6)
    opened = extract(listed_answer(*words[1:]), DIAPERS, thinking_open=True)
    assert (opened.choice, opened.pivot_index) == ("huggies", 5)
    never_closed = extract(listed_answer(*words[:4]), DIAPERS)
    assert never_closed.pivot_index == -1
    own = ["[r]", "Pampers", "[/r]", " Huggies"]
    assert extract(listed_answer(*own), DIAPERS, thinking=("[r]", "[/r]")).choice == "huggies"


def test_thinking_then_anchor():
    words = ["<think>", "Answer: A", "</think>", "I say B", ". Answer:", " A"]
    assert extract(listed_answer(*words), LETTERS, anchors=["Answer:"]).pivot_index == 5


def test_answer_first_makes_a_leading_letter_a_label():
    assert extract(listed_answer("A", " good", " one"), LETTERS).choice is None
    found = extract(listed_answer("A", " good", " one"), LETTERS, answer_first=True)
    assert (found.choice, found.pivot_index) == ("a", 0)


def test_json_answers():
    words = ['{"', "choice", '":', ' "', "A", '"}']
    assert extract(listed_answer(*words), LETTERS).choice == "a"
    merged = extract(listed_answer('{"', "choice", '": "', 'B"}'), LETTERS)
    assert (merged.choice, merged.pivot_token) == ("b", 'B"}')


def test_the_final_choice_is_what_the_text_decides_for_last():
    found = extract(answer("Pampers. But no, I choose Huggies."), DIAPERS)
    assert (found.choice, found.final, found.mismatch) == ("pampers", "huggies", True)
    because = extract(answer("Pampers, because Huggies cost more."), DIAPERS)
    assert (because.final, because.mismatch) == ("pampers", False)
    broken = extract(listed_answer("P", "lease", " wait"), DIAPERS)
    assert (broken.choice, broken.final, broken.mismatch) == ("pampers", None, True)
    cut = extract(answer("", tokens=["P", "amp"], finish_reason="length"), DIAPERS)
    assert not cut.mismatch, "a word that is cut may still become the form"


def test_whole_phrases_decide_only_when_they_are_complete():
    menu = Menu(
        (
            Alternative("pampers", "Pampers"),
            Alternative("refused", "I cannot say", whole=True, outside=True),
        )
    )
    found = extract(answer("I cannot say."), menu)
    assert (found.choice, found.pivot_token) == ("refused", " say")
    assert extract(answer("I cannot but take Pampers"), menu).choice == "pampers"


def test_full_width_and_accented_labels():
    menu = Menu((Alternative("a", "Cr\u00e8me"), Alternative("b", "Latte")))
    assert extract(answer("", tokens=["\uff23\uff32\u00c8\uff2d\uff25"]), menu).choice == "a"
    assert extract(answer("", tokens=["CR\u00c8ME"]), menu).choice == "a"


def test_only_the_realised_probability_is_no_belief():
    token = Token.of(" Huggies", -0.1, {})
    found = extract(Response((token,), " Huggies"), DIAPERS)
    assert (found.status, found.choice) == ("no_logprobs", "huggies")


def test_exact_duplicates_in_the_list_count_once():
    token = Token(
        b" H", math.log(0.6), (b" H", b" P", b" P"), (math.log(0.6), math.log(0.3), math.log(0.3))
    )
    assert extract(Response((token,), " H"), DIAPERS).belief == pytest.approx((1 / 3, 2 / 3, 0))


def test_all_zero_log_probabilities_are_invalid():
    token = Token.of(" Huggies", 0.0, {" Huggies": 0.0, " Pampers": 0.0})
    assert extract(Response((token,), " Huggies"), DIAPERS).status == "invalid_logprobs"


def test_an_alternative_that_nothing_listed_has_belief_zero_and_an_upper_bound():
    token = Token.of(" Huggies", math.log(0.5), {" Huggies": math.log(0.5), " P": math.log(0.4)})
    found = extract(Response((token,), " Huggies"), DIAPERS)
    assert found.belief[2] == 0.0
    assert found.upper[2] == pytest.approx(0.1)


@pytest.mark.parametrize(
    "options", [{"temperature": 0}, {"low_mass": -1}, {"anchors": [" "]}, {"last_anchor": True}]
)
def test_impossible_options(options):
    with pytest.raises(UsageError):
        extract(answer("Pampers"), DIAPERS, **options)


@pytest.mark.parametrize("realised", [" A", " B"])
def test_a_last_word_that_begins_like_another_form_is_no_mention_of_its_own(realised):
    listed = {" A": math.log(0.4), " B": math.log(0.6)}
    first = Token.of("Brand", -0.1, {"Brand": -0.1})
    found = extract(
        Response((first, Token.of(realised, listed[realised], listed)), "Brand" + realised), BRANDS
    )
    assert (found.status, found.pivot_token) == ("ok", realised)
    assert found.belief == pytest.approx((0.4, 0.6))


def test_scenes_at_the_beginning_negations_and_turns():
    for text, choice in (
        ("With Pampers at 35 cents and Huggies at 30 cents, I would choose Huggies.", "huggies"),
        ("As Pampers cost more, Huggies", "huggies"),
        ("I'd go with Pampers", "pampers"),
        ("There's no doubt I'd choose Huggies", "huggies"),
        ("No question - Huggies", "huggies"),
        ("I have no strong preference \u2013 Pampers", "pampers"),
        ("I do not mind which and I'd pick Huggies", "huggies"),
        ("No Pampers. Huggies", "huggies"),
        ("No, Pampers", "pampers"),
        ("Either is fine, Pampers", "pampers"),
        ("Both brands have served me well, Huggies is cheaper", "huggies"),
        ("Instead of Pampers I'd buy Huggies", "huggies"),
        ("Between Pampers, Huggies and neither, I pick Huggies", "huggies"),
        ("Of either Pampers or Huggies, Pampers wins", "pampers"),
    ):
        found = extract(answer(text), DIAPERS)
        if "wins" in text:  # a list goes on after its comma: no decision, and said so
            assert found.status == "conflicting_mentions"
        else:
            assert (text, found.choice) == (text, choice)


def test_anchors_in_markdown_and_with_odd_spaces():
    for text in ("**Answer**: Huggies", "answer : Huggies", "Final\nanswer: Huggies"):
        found = extract(answer(text), DIAPERS, anchors=["Answer:", "Final answer:"])
        assert (text, found.choice) == (text, "huggies")


def test_a_greeting_that_ends_like_a_name_begins_names_nothing():
    menu = Menu((Alternative("p", "\u5e2e\u5b9d\u9002"), Alternative("h", "\u597d\u5947")))
    text = "\u4f60\u597d\uff0c\u6211\u9009\u5e2e\u5b9d\u9002"
    found = extract(answer("", tokens=list(text)), menu)
    assert (found.choice, found.pivot_token) == ("p", "\u5e2e")


def split(text, law, at=1):
    """A text by character; at its last but `at` token the law of the candidates."""
    pieces = list(text)
    tokens = [Token.of(p, -0.1, {p: -0.1}) for p in pieces]
    realised = pieces[-at]
    tokens[-at] = Token.of(
        realised, math.log(law[realised]), {k: math.log(v) for k, v in law.items()}
    )
    return Response(tuple(tokens), text)


def test_names_split_by_character_decide_at_their_first_that_leaves_one():
    menu = Menu(
        (
            Alternative("pampers", "\u5e2e\u5b9d\u9002"),
            Alternative("huggies", "\u597d\u5947"),
            Alternative("none", "\u90fd\u4e0d"),
        )
    )
    law = {"\u597d": 0.5, "\u5e2e": 0.3, "\u90fd": 0.1, "\u4e00": 0.05}
    found = extract(split("\u6211\u9009\u597d\u5947", law, at=2), menu)
    assert (found.choice, found.pivot_token, found.mismatch) == ("huggies", "\u597d", False)
    assert found.belief == pytest.approx((3 / 9, 5 / 9, 1 / 9))


def test_a_shared_first_character_is_a_prefix_like_any_other():
    with pytest.warns(MenuWarning):
        menu = Menu((Alternative("a", "\u597d\u5947"), Alternative("b", "\u597d\u5b69\u5b50")))
    law = {"\u5947": 0.6, "\u5b69": 0.3, "\u7684": 0.05}
    found = extract(split("\u6211\u9009\u597d\u5947", law), menu)
    assert (found.choice, found.pivot_index) == ("a", 3)
    assert found.belief == pytest.approx((2 / 3, 1 / 3))


def test_names_in_katakana_begin_with_their_run():
    menu = Menu(
        (
            Alternative("p", "\u30d1\u30f3\u30d1\u30fc\u30b9"),
            Alternative("m", "\u30e1\u30ea\u30fc\u30ba"),
        )
    )
    market = "\u30b9\u30fc\u30d1\u30fc\u3067"  # "at the supermarket", with a \u30d1 inside
    law = {"\u30d1": 0.7, "\u30e1": 0.2, "\u306e": 0.05}
    found = extract(split(market + "\u30d1", law), menu)
    assert (found.choice, found.pivot_index) == ("p", 5)
    assert found.belief == pytest.approx((7 / 9, 2 / 9))


def test_korean_names_begin_with_their_word():
    menu = Menu((Alternative("h", "\ud558\uae30\uc2a4"), Alternative("p", "\ud338\ud37c\uc2a4")))
    text = "\uc120\ud0dd\ud558\uaca0\uc2b5\ub2c8\ub2e4 \ud338\ud37c\uc2a4"
    found = extract(answer("", tokens=list(text)), menu)
    assert (found.choice, found.pivot_token) == ("p", "\ud338")


def test_bytes_decide_when_they_leave_one_alternative():
    menu = Menu((Alternative("p", "\u5e2e\u5b9d\u9002"), Alternative("h", "\u597d\u5947")))
    good, help_, hope = "\u597d".encode(), "\u5e2e".encode(), "\u5e0c".encode()
    # The lead byte is shared, the second is not: there the choice is settled.
    lead = Token(good[:1], -0.1, (good[:1],), (-0.1,))
    names = (good[1:2], help_[1:2], b"\xbd")
    second = Token(good[1:2], math.log(0.5), names, tuple(map(math.log, (0.5, 0.3, 0.1))))
    rest = Token(good[2:] + "\u5947".encode(), -0.1, (good[2:],), (-0.1,))
    found = extract(Response((lead, second, rest), "\u597d\u5947"), menu)
    assert (found.choice, found.pivot_index) == ("h", 1)
    assert found.belief == pytest.approx((3 / 8, 5 / 8))
    assert found.undecided_mass == pytest.approx(0.1)
    # Another character that begins with the same two bytes is read as a name's beginning.
    assert hope[:2] == help_[:2]


def test_thai_names_need_two_characters():
    menu = Menu(
        (
            Alternative("p", "\u0e41\u0e1e\u0e21\u0e40\u0e1e\u0e34\u0e23\u0e4c\u0e2a"),
            Alternative("m", "\u0e21\u0e32\u0e21\u0e35\u0e48"),
        )
    )
    text = "\u0e41\u0e15\u0e48\u0e21\u0e32\u0e21\u0e35\u0e48"
    found = extract(answer("", tokens=list(text)), menu)
    assert (found.choice, found.pivot_index) == ("m", 4)


def test_odd_hyphens():
    menu = Menu((Alternative("a", "Coca-Cola"), Alternative("b", "Pepsi")))
    assert extract(answer("", tokens=["Coca\u2011Cola"]), menu).choice == "a"


def test_what_stands_in_an_open_thinking_block_is_no_mention():
    assert extract(listed_answer("<think>", "Huggies"), DIAPERS).status == "no_pivot"


def test_tempered_bounds_leave_out_an_appended_realised_token():
    law = {" P": 0.5, " H": 0.2, " Pamp": 0.15, " Pam": 0.14, " hu": 0.01}
    shown = {t: math.log(law[t]) for t in (" P", " H", " hu")}
    token = Token.of(" hu", shown[" hu"], shown)
    found = extract(Response((token,), " huggies"), DIAPERS, temperature=0.5)
    squares = {t: p * p for t, p in law.items()}
    truth = 1 - (squares[" H"] + squares[" hu"]) / sum(squares.values())
    assert found.lower[0] <= truth <= found.upper[0]


def test_a_word_that_ended_short_of_the_form_is_a_mismatch():
    ended = extract(answer("", tokens=["P", "amp"]), DIAPERS)
    assert (ended.choice, ended.final, ended.mismatch) == ("pampers", None, True)


def test_later_names_have_beliefs_of_their_own():
    """Stopping times: belief at each is made of what is listed there."""
    menu = Menu.of("Milka", "Lindt")
    words = ["Lindt", " is", " dear", ".", " I", "'ll", " buy", " Milka", "."]
    listed = {
        0: {"Lindt": math.log(0.6), "Milka": math.log(0.3), "I": math.log(0.1)},
        7: {" Milka": math.log(0.7), " Lindt": math.log(0.1), " nothing": math.log(0.2)},
    }
    tokens = [
        Token.of(w, max(listed.get(k, {w: 0.0}).values()), listed.get(k, {w: 0.0}))
        for k, w in enumerate(words)
    ]
    found = extract(Response(tuple(tokens), "".join(words), finish_reason="stop"), menu)
    assert found.choice == "lindt" and found.belief == pytest.approx((1 / 3, 2 / 3))
    ((place, belief),) = found.later
    assert place == 0 and belief == pytest.approx((0.875, 0.125))
