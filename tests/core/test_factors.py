"""Arms, variants, price formats, fractions and option orders of a study."""

import copy
import itertools
import math
import subprocess
import sys
from collections import Counter
from dataclasses import replace

import pytest

from llmdemand.core.questionnaire.prompts import DISCLOSURE, Variant
from llmdemand.core.study import Study, load_study
from llmdemand.errors import StudyError

TEA = {
    "name": "tea",
    "focal": "green",
    "system": "You shop.",
    "user": "{offers}\nWhich?",
    "offer": "{label} at {price:.1f} cents",
    "alternatives": [
        {"id": "green", "label": "Green", "price": [10, 20, 35]},
        {"id": "black", "label": "Black", "price": [20, 30]},
        {"id": "none", "label": "nothing", "outside": True},
    ],
}
DOLLARS = {"id": "dollars", "offer": "{label} at ${price:.2f}", "price_scale": 0.01}
BOTH = ["blind", "unblinded"]
PEOPLE = [{"id": "ann", "who": "Ann"}, {"id": "bob", "who": "Bob"}]


def tea(**changes):
    return Study.from_dict({**copy.deepcopy(TEA), **changes})


def prompt(study, index, **changes):
    cell = replace(study.cell(index), **changes)
    return study.prompt(cell, study.order(cell, 0))


# --- factorial


def test_the_factorial_is_arms_variants_personas_orders_prices_with_prices_fastest():
    study = tea(arms=BOTH, variants=[{"id": "own"}, DOLLARS], personas=PEOPLE, orders="cross")
    cells = study.cells()
    assert len(cells) == study.full_size == 2 * 2 * 2 * 2 * 6
    assert [c.index for c in cells] == list(range(96))
    assert len({study.content(c) for c in cells}) == 96
    levels = [
        (c.arm, c.variant, c.persona["id"], c.order[0], c.prices["green"], c.prices["black"])
        for c in cells
    ]
    assert levels == list(
        itertools.product(
            BOTH,
            ["own", "dollars"],
            ["ann", "bob"],
            ["green", "black"],
            [10.0, 20.0, 35.0],
            [20.0, 30.0],
        )
    )
    assert all(study.full_cell(c.index) == c for c in cells)


def test_a_plain_study_is_blind_without_variants_and_keeps_its_cells_and_hash():
    study = load_study("pampers")
    assert {(c.arm, c.variant) for c in study.cells()} == {("blind", None)}
    # As they were before a study could have arms, variants and fractions.
    assert study.hash == "611345b9a772"
    assert load_study("pampers-households").hash == "145be53a35f0"
    cells = load_study("pampers-households").cells()
    assert (cells[16].order[0], cells[32].persona["id"]) == ("huggies", "household-2")


def test_cells_are_made_once():
    study = tea()
    assert study.cells() is study.cells()


# --- fractions


def test_a_fraction_is_balanced_over_every_factor_and_keeps_indices():
    full = tea(arms=BOTH, variants=[{"id": "own"}, DOLLARS], personas=PEOPLE, orders="cross")
    part = replace(full, points=24)
    assert len(part.cells()) == 24
    for level in (
        lambda c: c.arm,
        lambda c: c.variant,
        lambda c: c.persona["id"],
        lambda c: c.order,
        lambda c: c.prices["green"],
        lambda c: c.prices["black"],
    ):
        counts = Counter(map(level, part.cells()))
        assert set(counts) == set(map(level, full.cells()))
        assert len(set(counts.values())) == 1
    assert all(full.cell(c.index) == c for c in part.cells())


def test_the_design_seed_draws_another_fraction_and_is_part_of_the_study():
    drawn = [tea(points=3, design_seed=seed) for seed in range(8)]
    assert drawn[0].cells() == tea(points=3).cells()
    assert len({tuple(c.index for c in study.cells()) for study in drawn}) > 1
    assert len({tea().hash, *(study.hash for study in drawn)}) == 9


def test_every_cell_of_the_full_factorial_is_known_and_no_other():
    # A fraction of another number of points, or of an earlier version, holds other cells.
    study = tea(points=3)
    assert [study.cell(k) for k in range(6)] == list(tea().cells())
    with pytest.raises(StudyError, match="no cell 6: it has 6 points"):
        study.cell(6)
    with pytest.raises(StudyError, match="no cell 6"):
        tea().cell(6)
    with pytest.raises(StudyError, match="no cell -1"):
        tea().cell(-1)


# --- option orders


def three(**changes):
    alternatives = [
        *copy.deepcopy(TEA["alternatives"]),
        {"id": "white", "label": "White", "price": [20]},
    ]
    return tea(alternatives=alternatives, **changes)


def test_crossed_orders_balance_neighbours_and_keep_the_outside_option_last():
    orders = three(orders="cross").option_orders()
    assert len(orders) == 6 and {o[-1] for o in orders} == {"none"}
    neighbours = Counter(pair for o in orders for pair in itertools.pairwise(o[:-1]))
    assert len(neighbours) == 6 and set(neighbours.values()) == {2}
    assert three(orders="fixed").option_orders() == (("green", "black", "white", "none"),)


def test_an_outside_option_that_is_not_pinned_takes_turns_and_shows():
    study = tea(orders="cross", outside_last=False, outside_offer="or {label}")
    assert Counter(o.index("none") for o in study.option_orders()) == {0: 2, 1: 2, 2: 2}
    shown = [study.prompt(c, c.order)[1].splitlines() for c in study.cells()]
    assert Counter(lines.index("or nothing") for lines in shown) == {0: 12, 1: 12, 2: 12}
    pinned = tea(orders="cross", outside_offer="or {label}")
    assert {pinned.prompt(c, c.order)[1].splitlines()[2] for c in pinned.cells()} == {"or nothing"}


def test_pinned_alternatives_stand_last_as_the_menu_lists_them():
    study = three(orders="cross", pinned=["white"])
    assert study.option_orders() == (
        ("green", "black", "none", "white"),
        ("black", "green", "none", "white"),
    )
    assert Study.from_dict(study.to_dict()) == study
    assert study.hash != three(orders="cross").hash and "pinned" not in tea().to_dict()


@pytest.mark.parametrize("study", [tea(orders="rotate"), three(orders="rotate", points=6)])
def test_rotation_is_balanced_within_blocks_of_a_cell(study):
    m = len(study.option_orders())
    cells = study.cells()
    for cell, block in itertools.product(cells, range(4)):
        seen = {study.order(cell, block * m + turn) for turn in range(m)}
        assert seen == set(study.option_orders())


def test_rotation_is_balanced_over_cells_on_average():
    study = tea(orders="rotate", personas=[{"id": str(k)} for k in range(200)])
    first = [study.order(c, 0)[0] == "green" for c in study.cells()]
    assert abs(sum(first) - 600) < 4 * math.sqrt(1200) / 2
    # One block of a cell says nothing of the next one, nor of the same block of another.
    again = [study.order(c, 2)[0] == "green" for c in study.cells()]
    same = sum(a == b for a, b in zip(first, again, strict=True))
    beside = sum(a == b for a, b in itertools.pairwise(first))
    assert max(abs(same - 600), abs(beside - 600)) < 4 * math.sqrt(1200) / 2


def test_rotation_follows_the_design_seed_and_nothing_else():
    first, again = three(orders="rotate"), three(orders="rotate")
    other = three(orders="rotate", design_seed=1)
    runs = list(itertools.product(first.cells(), range(12)))
    orders = [first.order(c, r) for c, r in runs]
    assert orders == [again.order(c, r) for c, r in runs]
    assert orders != [other.order(c, r) for c, r in runs]


def test_rotation_does_not_alternate_with_the_price():
    study = load_study("pampers")
    for replicate in range(4):
        first = [study.order(c, replicate)[0] == "pampers" for c in study.cells()]
        assert first[::2] != [first[0]] * 8, "every second price would show one order"
    blocks = {study.order(study.cell(0), 2 * block) for block in range(20)}
    assert len(blocks) == 2, "blocks of one cell begin with either order"


def test_the_order_of_a_run_is_that_of_any_fraction_and_grid_with_its_cell():
    whole, part = tea(orders="rotate"), tea(orders="rotate", points=3)
    grown = tea(
        orders="rotate",
        alternatives=[
            {**TEA["alternatives"][0], "price": [5, 35, 20, 12, 10]},
            {**TEA["alternatives"][1], "price": [30, 25, 20]},
            TEA["alternatives"][2],
        ],
    )
    others = {grown.content(c): c for c in grown.cells()}
    for cell, replicate in itertools.product(whole.cells(), range(6)):
        order = whole.order(cell, replicate)
        assert part.order(part.cell(cell.index), replicate) == order
        assert grown.order(others[whole.content(cell)], replicate) == order


# --- prices as they are shown


def test_price_formats_and_the_panel_unit():
    study = tea(variants=[{"id": "cents"}, DOLLARS], system="Green costs {price_green}.")
    cents, dollars = study.cell(4), study.cell(10)
    assert cents.prices == dollars.prices == {"green": 35.0, "black": 20.0}
    order = study.option_orders()[0]
    assert study.prompt(cents, order) == (
        "Green costs 35.0.",
        "Green at 35.0 cents\nBlack at 20.0 cents\nWhich?",
    )
    assert study.prompt(dollars, order) == (
        "Green costs 0.35.",  # and not 0.35000000000000003
        "Green at $0.35\nBlack at $0.20\nWhich?",
    )


def test_the_scale_of_a_study_is_inherited_and_can_be_undone():
    study = tea(price_scale=0.01, variants=[{"id": "own"}, {"id": "back", "price_scale": 1}])
    assert "Green at 0.1 cents" in prompt(study, 0)[1]
    assert "Green at 10.0 cents" in prompt(study, 6)[1]


# --- variants


def test_a_variant_replaces_what_it_gives_and_inherits_the_rest():
    variants = [{"id": "own"}, {"id": "bare", "system": ""}, {"id": "ask", "user": "{offers}?"}]
    study = tea(variants=variants)
    assert [prompt(study, k) for k in (0, 6, 12)] == [
        ("You shop.", "Green at 10.0 cents\nBlack at 20.0 cents\nWhich?"),
        ("", "Green at 10.0 cents\nBlack at 20.0 cents\nWhich?"),
        ("You shop.", "Green at 10.0 cents\nBlack at 20.0 cents?"),
    ]
    assert study.variants[1] == Variant("bare", system="")
    with pytest.raises(StudyError, match="no variant 'zz': known are own, bare, ask"):
        study.wording("zz")


# --- arms


def test_the_unblinded_arm_appends_the_disclosure_to_the_system_text():
    study = tea(arms=BOTH)
    blind, told = prompt(study, 0), prompt(study, 6)
    assert blind[0] == "You shop."
    assert told == (f"You shop.\n\n{DISCLOSURE}", blind[1])
    assert prompt(tea(arms="unblinded", system=""), 0)[0] == DISCLOSURE
    for word in ("random", "researchers", "quality", "demand", "season", "competitors"):
        assert word in DISCLOSURE


def test_a_completion_is_told_before_its_text():
    study = tea(arms=BOTH, mode="completion", disclosure="{Prices} were drawn.")
    blind, told = prompt(study, 0), prompt(study, 6)
    assert told == (blind[0], f"{{Prices}} were drawn.\n\n{blind[1]}")


@pytest.mark.parametrize("where", ["system", "user"])
def test_a_template_can_place_the_disclosure(where):
    own = {"system": "You shop.", "user": "{offers}"}
    study = tea(arms=BOTH, **{**own, where: own[where] + " ({disclosure})"})
    for index, said in ((0, ""), (6, DISCLOSURE)):
        texts = dict(zip(("system", "user"), prompt(study, index), strict=True))
        assert texts[where].endswith(f"({said})")
        assert "".join(texts.values()).count(DISCLOSURE) == (said != "")


def test_escaped_braces_place_nothing():
    study = tea(arms=["unblinded"], system="You shop {{disclosure}}.")
    assert prompt(study, 0)[0] == f"You shop {{disclosure}}.\n\n{DISCLOSURE}"


# --- plain data


def test_everything_survives_plain_data_and_counts_in_the_hash():
    changes = {
        "arms": BOTH,
        "variants": [{"id": "own"}, DOLLARS],
        "price_scale": 0.5,
        "points": 5,
        "design_seed": 3,
        "outside_offer": "{label}",
        "disclosure": "Random.",
    }
    hashes = {tea().hash}
    for count in range(1, len(changes) + 1):
        study = tea(**dict(list(changes.items())[:count]))
        assert Study.from_dict(study.to_dict()) == study
        hashes.add(study.hash)
    last = tea(**changes, outside_last=False)
    assert Study.from_dict(last.to_dict()) == last
    assert len(hashes | {last.hash}) == len(changes) + 2


def test_defaults_are_left_out_but_a_disclosure_that_was_said_is_kept():
    new = {"variants", "price_scale", "arms", "points", "design_seed", "outside_last"}
    assert not {*new, "outside_offer", "disclosure"} & set(tea().to_dict())
    assert tea(arms=BOTH).to_dict()["disclosure"] == DISCLOSURE


def test_lists_do_as_tuples():
    study = replace(tea(), arms=["blind"], variants=[Variant("own")])
    assert (study.arms, study.variants) == (("blind",), (Variant("own"),))


# --- what is wrong is named


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"variants": [{"id": "a", "user": "{offer}"}]}, r"'user' of variant 'a' uses \{offer\} "),
        ({"variants": [{"id": "a", "system": "{x}"}]}, r"'system' of variant 'a' uses \{x\}"),
        ({"variants": [{"id": "a", "offer": "{label}"}]}, "'offer' of variant 'a' needs both"),
        ({"variants": [{"id": "a", "user": "Which?"}]}, "no prompt of variant 'a' shows the price"),
        ({"variants": [{"id": "a", "user": "{offers"}]}, "'user' of variant 'a' has unbalanced"),
        (
            {"variants": [{"id": "a", "offer": "{label} {price:d}"}]},
            "template of variant 'a' cannot be filled",
        ),
        (
            {"variants": [{"id": "a"}, {"id": "a"}]},
            r"every variant needs an 'id' of its own, .*'a'",
        ),
        ({"variants": [{"id": ""}]}, "every variant needs an 'id' of its own"),
        ({"variants": [{"user": "{offers}"}]}, "has no id"),
        ({"variants": [{"id": 1}]}, "variant 1, field id is 1: give a text"),
        ({"variants": [{"id": "a", "user": 1}]}, "variant 'a', field user is 1: give a text"),
        ({"variants": [{"id": "a", "usr": "x"}]}, "unknown variant field 'usr' .*'user'"),
        ({"variants": {"id": "a"}}, "variants is .*: give a list"),
        ({"variants": ["a"]}, "variants is 'a': give a table"),
        (
            {"variants": [{"id": "a", "price_scale": 0}]},
            "price_scale of variant 'a' is 0.0: give a positive number",
        ),
        ({"variants": [{"id": "a", "price_scale": "x"}]}, "price_scale is 'x': give a number"),
        ({"price_scale": 0}, "price_scale is 0.0: give a positive number"),
        ({"price_scale": -1.0}, "price_scale is -1.0: give a positive number"),
        ({"price_scale": float("nan")}, "price_scale is nan: give a positive number"),
        ({"price_scale": float("inf")}, "price_scale is inf: give a positive number"),
        ({"price_scale": "cheap"}, "price_scale is 'cheap': give a number"),
        ({"arms": ["blnd"]}, r"an arm is 'blnd' \(did you mean 'blind'\?\)"),
        ({"arms": []}, r"arms is \[\]: give 'blind', 'unblinded' or both"),
        ({"arms": ["blind", "blind"]}, "arms is .*once"),
        ({"arms": [1]}, r"arms is \[1\]: give a list of texts"),
        ({"arms": ["unblinded"], "disclosure": " "}, "disclosure is empty"),
        ({"disclosure": 1}, "disclosure is 1: give a text"),
        ({"points": 0}, "points is 0, but the full factorial has 6: give 1 to 6"),
        ({"points": 7}, "points is 7, but the full factorial has 6: give 1 to 6"),
        ({"points": 2.5}, "points is 2.5: give a whole number"),
        ({"points": True}, "points is True: give a whole number"),
        ({"design_seed": -1}, "design_seed is -1: give a whole number from 0"),
        ({"design_seed": "x"}, "design_seed is 'x': give a whole number"),
        ({"outside_last": 0}, "outside_last is 0: give true or false"),
        ({"pinned": ["oolong"]}, r"pinned is \['oolong'\]: name alternatives of green, black"),
        ({"pinned": ["green", "green"]}, "pinned is .* each once"),
        ({"pinned": 1}, "pinned is 1: give a list of texts"),
        ({"outside_last": False}, "no offer shows the outside option: add outside_offer"),
        ({"outside_offer": "nothing"}, r"'outside_offer' needs \{label\}"),
        ({"outside_offer": "{label} {price}"}, r"'outside_offer' uses \{price\}"),
        ({"user": "{offers}{disclosures}"}, "did you mean 'disclosure'"),
        ({"personas": [{"id": "a", "offers": "x"}]}, "'a' has a field 'offers', which the design"),
    ],
)
def test_what_is_wrong_is_named(changes, message):
    with pytest.raises(StudyError, match=message) as raised:
        tea(**changes)
    assert "\n" not in str(raised.value)


def test_a_huge_factorial_is_checked_and_sampled_without_being_written_out():
    grid = {"start": 1, "stop": 2000, "step": 1}
    alternatives = [{"id": a, "label": a, "price": grid} for a in ("green", "black", "white")]
    study = tea(alternatives=alternatives, points=40)
    assert study.full_size == 8 * 10**9
    assert len(study.cells()) == 40


def test_a_study_without_a_fraction_needs_no_numpy():
    code = (
        "import sys; from llmdemand.core.study import load_study as load; s = load('pampers'); "
        "s.prompt(s.cells()[0], s.order(s.cells()[0], 3)); assert 'numpy' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
