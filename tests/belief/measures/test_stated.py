"""What answers state, read exactly or not at all."""

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

import llmdemand as ld
from llmdemand.belief.measures.measured import measured
from llmdemand.belief.measures.stated import read_stated
from llmdemand.belief.tokens import Response
from llmdemand.core.menu import Alternative, Menu
from llmdemand.core.panel import STATUSES, USABLE

MENU = Menu.of("Pampers", "Huggies", outside="neither")

EXACT = {
    "lines": "Pampers: 60%\nHuggies: 30%\nneither: 10%",
    "another order": "neither - 10%\nHuggies - 30%\nPampers - 60%",
    "no sign": "Pampers: 60\nHuggies: 30\nneither: 10",
    "a sign missing": "Pampers: 60 %\nHuggies: 30\nneither: 10",
    "sign first": "Pampers: %60\nHuggies: %30\nneither: %10",
    "dashes": "Pampers \u2013 60%\nHuggies \u2014 30%\nneither - 10%",
    "one line": "Pampers 60% Huggies 30% neither 10%",
    "numbers first": "60% Pampers 30% Huggies 10% neither",
    "a sentence": "I'd say 60% for Pampers, 30% for Huggies and 10% for neither.",
    "names before": "Pampers is dearer than Huggies, so Pampers: 60%, Huggies: 30%, neither: 10%",
    "a ratio": "Pampers/Huggies/neither: 60/30/10",
    "numbered": "1. Pampers: 60%\n2. Huggies: 30%\n3. neither: 10%",
    "marked": "**Pampers**: **60%**\n- Huggies: 30%\n* neither = 10%\nTotal: 100%",
    "prices": "Pampers (35.0 cents): 60\nHuggies ($0.30): 30\nneither: 10",
    "prices beside": "Pampers at 35 cents: 60%\nHuggies at 30 cents: 30%\nneither: 10%",
    "a table": "| Option | Price | % |\n|---|---|---|\n| Pampers | 35.0 cents | 60% |\n"
    "| Huggies | 30.0 cents | 30 % |\n| neither | - | 10% |",
    "a wide table": "| Pampers | Huggies | neither |\n|---|---|---|\n| 60 | 30 | 10 |",
    "decimals": "Pampers: 60.0%\nHuggies: 30.00%\nneither: 10%",
    "decimal commas": "Pampers: 60,0 %\nHuggies: 30,0 %\nneither: 10,0 %",
    "words": "Pampers: sixty percent\nHuggies: Thirty per cent\nneither: ten percent",
    "wide letters": "\uff30ampers\uff1a \uff16\uff10\uff05\nHuggies: 30%\nneither: 10%",
    "shares": "Pampers: 0.6, Huggies: .3, neither: 0.1",
    "json": 'Sure: {"Pampers": 60, "Huggies": "30%", "neither": 10.0}',
    "json, fenced": '```json\n{"p": {"pampers": 0.6, "HUGGIES": 0.3, "neither": 0.1}}\n```',
    "json, records": '[{"option": "Pampers", "p": 60}, {"option": "Huggies", "p": "30 %"}, '
    '{"option": "neither", "p": 1e1}]',
    "said twice": "Pampers 60%.\nPampers: 60%\nHuggies: 30%\nneither: 10%",
    "sure of it": "Pampers: 60%\nHuggies: 30%\nneither: 10%\nI am 100% sure.",
}
REFUSED = {
    "not_stated": [
        "",
        "I'd take Pampers.",
        "60/30/10",
        "Pampers: 60%\nHuggies: 40%",
        "Pampers: half\nHuggies: a third\nneither: the rest",
        "Pampers: <number>%\nHuggies: <number>%\nneither: <number>%",
        "{" * 3000,
        '{"a":' * 3000,
    ],
    "ambiguous": [
        "Pampers: 50-60%\nHuggies: 30%\nneither: 10%",
        "Pampers: 50 to 60 percent\nHuggies: 30%\nneither: 10%",
        "Pampers: between 50 and 60%\nHuggies: 30%\nneither: 10%",
        "Pampers: 60 \u00b1 5%\nHuggies: 30%\nneither: 10%",
        "Pampers: <60%\nHuggies: 30%\nneither: 10%",
        "Pampers: at least 60%\nHuggies: 30%\nneither: 10%",
        "Pampers: 60/100, Huggies: 30/100, neither: 10/100",
        "Pampers: 60%\nHuggies: 30%\nneither: 10%\nNo, Pampers: 50%",
        "Pampers -60%\nHuggies -30%\nneither -10%",
        "Pampers: 60,000%\nHuggies: 30%\nneither: 10%",
        "| Pampers | 35 | 60 |\n| Huggies | 30 | 30 |\n| neither | 0 | 10 |",
        '{"Pampers": "50-60", "Huggies": 30, "neither": 10}',
        '{"Pampers": 60, "Pampers": 50, "Huggies": 30, "neither": 10}',
        '{"Pampers": NaN, "Huggies": 30, "neither": 10}',
        '{"Pampers": null, "Huggies": 30, "neither": 10}',
    ],
    "out_of_bounds": [
        "Pampers: 120%\nHuggies: -30%\nneither: 10%",
        "Pampers: 100.5%\nHuggies: 0%\nneither: 0%",
        '{"Pampers": -10, "Huggies": 100, "neither": 10}',
        f"Pampers: {'9' * 5000}%\nHuggies: 0%\nneither: 0%",
        '{"Pampers": 1e999, "Huggies": 30, "neither": 10}',
        f'{{"Pampers": {"9" * 5000}, "Huggies": 30, "neither": 10}}',
    ],
    "bad_sum": [
        "Pampers: 60%\nHuggies: 60%\nneither: 30%",
        "Pampers: 60%\nHuggies: 30%\nneither: 8%",
        "Pampers: 0.6%\nHuggies: 0.3%\nneither: 0.1%",
        "Pampers: 0%\nHuggies: 0%\nneither: 0%",
        "Pampers: 33.1\nHuggies: 33.3\nneither: 33.3",
    ],
}


@pytest.mark.parametrize("text", EXACT.values(), ids=EXACT.keys())
def test_what_is_stated_is_read(text):
    found = read_stated(text, MENU)
    assert found.status == "ok", found
    assert found.probability == pytest.approx((0.6, 0.3, 0.1)) and found.total == 100


@pytest.mark.parametrize(
    ("status", "text"), [(s, t) for s, texts in REFUSED.items() for t in texts]
)
def test_what_cannot_be_read_for_certain_is_not(status, text):
    found = read_stated(text, MENU)
    assert found.status == status and found.reason and found.status in STATUSES
    assert all(map(math.isnan, found.probability))


@pytest.mark.parametrize(
    ("text", "total", "status"),
    [
        ("33%, 33%, 33%", 99, "rescaled"),
        ("34%, 34%, 33%", 101, "rescaled"),
        ("34%, 34%, 34%", 102, "bad_sum"),
        ("33.3%, 33.3%, 33.3%", 99.9, "rescaled"),
        ("33.3%, 33.3%, 33.2%", 99.8, "bad_sum"),
        ("33.34, 33.33, 33.33", 100, "ok"),
        ("0.33, 0.33, 0.33", 99, "rescaled"),
    ],
)
def test_sums_are_of_100_up_to_the_digits_that_are_shown(text, total, status):
    names = zip(["Pampers", "Huggies", "neither"], text.split(", "), strict=True)
    said = read_stated("\n".join(f"{name}: {number}" for name, number in names), MENU)
    assert (said.status, said.total) == (status, total)
    if status in USABLE:
        assert math.fsum(said.probability) == pytest.approx(1)
    if status == "rescaled":
        assert f"sum to {total:g}" in said.reason and "divided" in said.reason


def test_a_tolerance_can_be_given():
    text = "Pampers 50%, Huggies 30%, neither 10%"
    assert read_stated(text, MENU).status == "bad_sum"
    assert read_stated(text, MENU, tolerance=10).status == "rescaled"
    assert read_stated("Pampers 33%, Huggies 33%, neither 33%", MENU, tolerance=0).status == (
        "bad_sum"
    )


@pytest.mark.filterwarnings("ignore::llmdemand.core.menu.MenuWarning")
def test_names_with_numbers_and_names_within_names_are_names():
    menu = Menu(
        (Alternative("a", "7 Up"), Alternative("b", "7 Up Zero"), Alternative("c", "5% milk"))
    )
    found = read_stated("7 Up: 50%\n7 Up Zero: 30%\n5% milk: 20%", menu)
    assert found.probability == (0.5, 0.3, 0.2)


WHOLE = st.lists(st.integers(0, 100), min_size=3, max_size=3)
FORMATS = st.sampled_from(
    ["{}: {}%", "- {} = {} %", "| {} | {}% |", "{}: {}", "{} \u2013 {} percent", "**{}**: {}%"]
)


@given(WHOLE, FORMATS, st.permutations(["Pampers", "Huggies", "neither"]))
def test_no_number_is_ever_another_one(numbers, form, order):
    said = dict(zip(["Pampers", "Huggies", "neither"], numbers, strict=True))
    found = read_stated("\n".join(form.format(name, said[name]) for name in order), MENU)
    total = sum(numbers)
    shares = total == 1 and "%" not in form and "percent" not in form
    if shares:
        assert found.probability == pytest.approx(tuple(numbers))
    elif total == 100:
        assert found.status == "ok" and found.percent == tuple(numbers)
    else:
        assert found.status == ("rescaled" if abs(total - 100) <= 1 else "bad_sum")


@given(st.text(alphabet="Pampers Huggies neither 0123456789%:.,-\n|/{}\"'", max_size=80))
def test_any_text_has_a_status_and_probabilities_that_sum_to_one_or_are_missing(text):
    found = read_stated(text, MENU)
    if found.status in USABLE:
        assert math.fsum(found.probability) == pytest.approx(1)
        assert all(0 <= p <= 1 for p in found.probability)
    else:
        assert all(map(math.isnan, found.probability)) and found.reason


STUDY = replace(ld.load_study("pampers"), measure="stated")


@pytest.mark.parametrize(
    ("response", "status", "said"),
    [
        (Response((), "Pampers: 60%\nHuggies: 30%\nneither: 1", "length"), "ambiguous", "cut"),
        (Response((), "Pampers: 60%\nHuggies:", "length"), "not_stated", "max_tokens"),
        (Response((), "Pampers: 60%\nHuggies: 30%\nneither: 10%", "length"), "ok", ""),
        (Response((), "", "stop"), "no_output", ""),
        (Response((), "I'm sorry, I can't do that.", "stop"), "refusal", ""),
        (Response((), "Sorry! Pampers: 60%\nHuggies: 30%\nneither: 10%", "stop"), "ok", ""),
        (
            Response((), "<think>Pampers: 9%?</think>Pampers 60%, Huggies 30%, neither 10%"),
            "ok",
            "",
        ),
        (Response((), "<think>Pampers: 60%", "length"), "not_stated", "thought"),
    ],
)
def test_an_answer_is_read_by_how_it_ended(response, status, said):
    extractor = ld.Extractor(STUDY.menu)
    found, more = measured(STUDY, extractor, response)
    assert found.status == status and said in found.reason
    assert found.choice is None and more["measure"] == "stated"
    assert math.isnan(more["stated_sum"]) == (status != "ok")
