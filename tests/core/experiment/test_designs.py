"""Designs of choice experiments against published ones, and what they guarantee."""

import json
from collections import Counter
from math import comb
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmdemand.core.experiment.attributes import Attribute
from llmdemand.core.experiment.coding import coding, prior_draws
from llmdemand.core.experiment.conjoint import METHODS, Conjoint, designed
from llmdemand.core.experiment.efficiency import d_error, information
from llmdemand.core.experiment.exchange import efficient
from llmdemand.core.experiment.inspection import inspected
from llmdemand.core.experiment.space import Space
from llmdemand.core.experiment.tasks import draw, generator, random_overlap, repeats
from llmdemand.core.menu import Menu
from llmdemand.errors import StudyError

pytestmark = pytest.mark.numbers

GOLDEN = json.loads(
    (Path(__file__).parents[2] / "golden" / "choice_designs.json").read_text("utf-8")
)
MADE = [m for m in METHODS if m != "given"]
SIZE = Attribute("size", ("250 g", "500 g", "1 kg"))
ROAST = Attribute("roast", ("light", "medium", "dark"))
GRID = (3.0, 5.0, 7.0, 9.0)
PRIOR = {
    "price": -0.4,
    "size": {"500 g": 0.5, "1 kg": 1.0},
    "roast": {"dark": 0.3},
    "alternatives": {"a": 2.5, "b": 2.0, "c": 2.0},
}
BARRED = ({"size": "1 kg", "price": [3, 5]}, {"roast": "dark", "size": "250 g", "alternative": "b"})


def coffee(prohibited=()):
    menu = Menu.of("A", "B", "C", outside="none")
    return Space.of(menu, dict.fromkeys("abc", GRID), [SIZE, ROAST], prohibited=prohibited)


def plain(alternatives, attributes):
    """A space of unlabelled alternatives without prices that vary."""
    labels = "ABCDEF"[:alternatives]
    return Space.of(
        Menu.of(*labels), {a.lower(): (1.0,) for a in labels}, attributes, labelled=False
    )


def error(space, tasks, prior=None):
    return d_error(information(coding(space).x(tasks), prior_draws(space, prior or {})))


def cyclic(array, levels):
    """An orthogonal array, and its cyclic shifts as the other alternatives."""
    rows = np.array(array)
    return [tuple(np.concatenate([[0, *((row + j) % levels)] for j in range(3)])) for row in rows]


# --- published designs ---------------------------------------------------------------------------


def test_the_published_design_has_its_published_error():
    told = GOLDEN["huber_zwerina"]
    space = plain(3, [Attribute(f"x{k}", tuple("abc")) for k in range(3)])
    tasks = cyclic(told["array"], 3)
    assert error(space, tasks) == pytest.approx(told["d_error"], abs=5e-4)
    # In closed form: three blocks [[6, 3], [3, 6]], whose determinant is 27.
    assert error(space, tasks) == pytest.approx(27**-0.5, rel=1e-12)
    found = efficient(space, coding(space), prior_draws(space, {}), 9, seed=0)
    assert error(space, found) < 1.02 * told["d_error"]


def test_in_the_coding_of_sas_its_efficiency_is_the_number_of_sets():
    space = plain(3, [Attribute(f"x{k}", tuple("abc")) for k in range(3)])
    x = coding(space).x(cyclic(GOLDEN["huber_zwerina"]["array"], 3))
    # Standardized orthogonal contrasts: columns over the levels of squared length 3.
    effects = np.array([[-1.0, -1.0], [1.0, 0.0], [0.0, 1.0]])
    turned = effects @ np.linalg.inv(np.linalg.qr(effects)[1]) * np.sqrt(3)
    change = np.linalg.lstsq(effects, turned, rcond=None)[0]
    found = information(x @ np.kron(np.eye(3), change), np.zeros((1, 6)))
    assert 1 / d_error(found) == pytest.approx(GOLDEN["choiceff"]["d_efficiency"], rel=1e-9)


@pytest.mark.parametrize("told", GOLDEN["street_burgess"]["designs"])
def test_the_search_finds_optimal_pairs(told):
    k, n = told["attributes"], told["pairs"]
    space = plain(2, [Attribute(f"x{j}", (0.0, 1.0)) for j in range(k)])
    tasks = efficient(space, coding(space), prior_draws(space, {}), n, seed=1)
    found = information(coding(space).x(tasks), prior_draws(space, {}))[0]
    assert np.allclose(found, n * np.eye(k), atol=1e-9)


def test_the_search_is_as_good_as_the_design_of_idefix():
    told = GOLDEN["idefix"]
    time = Attribute("time", tuple(told["time"]), linear=True)
    grid = tuple(told["price"])
    space = Space.of(Menu.of("A", "B"), {"a": grid, "b": grid}, [time], labelled=False)
    middle = told["coefficients"][2]
    tasks = efficient(
        space, coding(space), prior_draws(space, {"time": middle, "price": -1}), 20, seed=0
    )
    x = coding(space).x(tasks)
    found = d_error(information(x, np.array([[middle, -1.0]])))
    # No pair of ours is asked twice, which theirs may be.
    assert found < 1.05 * told["d_errors"][2]


# --- information ---------------------------------------------------------------------------------


def test_information_is_that_of_the_log_likelihood():
    space = coffee()
    beta = prior_draws(space, PRIOR)
    tasks = [draw(space, generator(3, k)) for k in range(7)]
    x = coding(space).x(tasks)

    def logarithm(b):
        v = x @ b
        return np.log(np.exp(v).sum(axis=1)).sum()

    # The Hessian of the log-sum is the information, whatever is chosen.
    h, k = 1e-4, x.shape[2]
    steps = h * np.eye(k)
    hessian = [
        [
            logarithm(beta[0] + a + b)
            - logarithm(beta[0] + a - b)
            - logarithm(beta[0] - a + b)
            + logarithm(beta[0] - a - b)
            for b in steps
        ]
        for a in steps
    ]
    assert np.allclose(information(x, beta)[0], np.array(hessian) / (4 * h * h), atol=2e-5)


def test_a_design_that_cannot_tell_everything_has_no_finite_error():
    space = coffee()
    one = draw(space, generator(1))
    assert error(space, [one, one]) == float("inf")
    with pytest.raises(StudyError, match="2 tasks cannot tell 8 coefficients"):
        efficient(space, coding(space), prior_draws(space, {}), 2, seed=0)


def test_why_a_design_tells_too_little_is_said():
    space = coffee()
    sure = prior_draws(space, {"price": -200.0})
    with pytest.raises(StudyError, match="nearly every answer is certain"):
        efficient(space, coding(space), sure, 12, seed=0, starts=1)
    # The size is known from the price: their effects cannot be told apart.
    rules = [{"size": "250 g", "price": [5, 7, 9]}, {"size": ["500 g", "1 kg"], "price": 3}]
    rules += [{"size": "500 g", "price": [7, 9]}, {"size": "1 kg", "price": [5, 9]}]
    tied = coffee([*rules, {"price": 9, "size": "250 g"}])
    with pytest.raises(StudyError, match="some levels always come together"):
        efficient(tied, coding(tied), prior_draws(tied, {}), 20, seed=0, starts=1)
    report = inspected(designed(Conjoint((8,), "random"), tied), tied)
    assert report.d_error == float("inf") and report.gain == 0
    assert "some levels always come together" in report.summary()


def test_units_of_the_price_change_no_design():
    found = []
    for unit in (1.0, 100.0):
        grid = tuple(unit * p for p in GRID)
        space = Space.of(
            Menu.of("A", "B", "C", outside="none"), dict.fromkeys("abc", grid), [SIZE, ROAST]
        )
        prior = {**PRIOR, "price": -0.4 / unit}
        found.append(efficient(space, coding(space), prior_draws(space, prior), 12, 0, starts=1))
    assert found[0] == found[1]


# --- guarantees ----------------------------------------------------------------------------------


@pytest.mark.parametrize("method", MADE)
def test_every_way_of_making_tasks_keeps_the_rules(method):
    space = coffee(BARRED)
    made = Conjoint((16,), method, blocks=2, holdouts=3, seed=5, prior=PRIOR, prohibited=BARRED)
    found = designed(made, space)
    assert found == designed(made, space)
    assert len(found.design) == 19 and len(set(found.design)) == 19
    assert all(space.allowed(task) for task in found.design)
    for task in found.design:
        for a in "abc":
            price, size, roast = (task[k] for k in space.places(a))
            assert not (size == 2 and price < 2)
            assert not (a == "b" and roast == 2 and size == 0)
    assert sorted(Counter(found.block).values()) == [8, 8]
    assert designed(found, space) == found


def test_efficient_designs_tell_more_than_others():
    space = coffee()
    by = {
        m: error(space, designed(Conjoint((18,), m, seed=2, prior=PRIOR), space).asked, PRIOR)
        for m in MADE
    }
    assert by["efficient"] < 0.95 * min(v for m, v in by.items() if m != "efficient")
    report = inspected(designed(Conjoint((18,), prior=PRIOR), space), space)
    assert report.gain > 1.1
    assert report.d_error == pytest.approx(
        error(space, designed(Conjoint((18,), prior=PRIOR), space).asked, PRIOR)
    )


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_overlap_is_what_its_name_says(seed):
    space = coffee()
    mean = {}
    for method in ("random", "balanced-overlap", "minimal-overlap"):
        tasks = designed(Conjoint((40,), method, seed=seed), space).asked
        mean[method] = np.mean([repeats(space, t) for t in tasks])
    expected = random_overlap(space)
    assert mean["minimal-overlap"] == 0
    assert mean["balanced-overlap"] == pytest.approx(expected / 2, abs=0.05)
    assert mean["random"] == pytest.approx(expected, abs=0.7)


@pytest.mark.parametrize(("method", "most"), [("balanced-overlap", 3), ("minimal-overlap", 1)])
def test_levels_are_shown_equally_often(method, most):
    space = coffee()
    tasks = designed(Conjoint((36,), method, seed=1), space).asked
    for k, slot in enumerate(space.slots):
        counts = [sum(t[k] == level for t in tasks) for level in range(len(slot.levels))]
        assert max(counts) - min(counts) <= most, slot


@pytest.mark.parametrize("method", MADE)
def test_a_design_that_grows_keeps_its_tasks(method):
    space = coffee(BARRED)
    made = {"prior": PRIOR, "prohibited": BARRED, "seed": 4, "holdouts": 2, "blocks": 2}
    before = designed(Conjoint((12,), method, **made), space)
    after = designed(Conjoint((12, 6), method, **made), space)
    assert after.asked[:12] == before.asked and after.held_out == before.held_out
    assert after.block[:12] == before.block
    assert len(set(after.design)) == 20


@settings(max_examples=25)
@given(
    st.lists(st.integers(2, 4), min_size=1, max_size=3),
    st.integers(2, 3),
    st.sampled_from(MADE[:3]),
    st.integers(0, 10**6),
)
def test_tasks_without_names_offer_a_choice(levels, alternatives, method, seed):
    attributes = [Attribute(f"x{k}", tuple(map(float, range(n)))) for k, n in enumerate(levels)]
    space = plain(alternatives, attributes)
    profiles = int(np.prod(levels))
    possible = comb(profiles, alternatives)
    if possible < 4:
        with pytest.raises(StudyError, match=f"{possible} different tasks were found"):
            designed(Conjoint((4,), method, seed=seed, labelled=False), space)
        return
    found = designed(Conjoint((4,), method, seed=seed, labelled=False), space)
    assert len({space.same(task) for task in found.design}) == 4
    for task in found.design:
        profiles = space.profiles(task)
        assert len(set(profiles)) == alternatives


def test_many_attributes_are_no_factorial_in_memory():
    attributes = [Attribute(f"x{k}", tuple(f"l{n}" for n in range(5))) for k in range(10)]
    space = Space.of(Menu.of("A", "B", "C"), dict.fromkeys("abc", GRID), attributes)
    assert space.size > 10**22
    found = designed(Conjoint((10,), "balanced-overlap"), space)
    assert len(found.design) == 10


# --- inspection ----------------------------------------------------------------------------------


def test_what_is_inspected_adds_up():
    space = coffee()
    given_ = designed(Conjoint((18,), "random", holdouts=2, prior=PRIOR), space)
    found = inspected(given_, space)
    for _, rows in found.balance.groupby("factor"):
        assert rows["shown"].sum() == 3 * 18
        assert rows[["a", "b", "c"]].to_numpy().sum() == 3 * 18
    assert np.allclose(found.overlap[["none", "partial", "complete"]].sum(axis=1), 1)
    beta = prior_draws(space, PRIOR)
    cov = np.linalg.inv(information(coding(space).x(given_.asked), beta)[0])
    assert np.allclose(found.terms["se"], np.sqrt(np.diag(cov)))
    row = found.terms.set_index("term").loc["price"]
    assert row["answers"] == pytest.approx((1.96 * row["se"] / 0.4) ** 2)
    said = found.summary()
    for words in ("D-error", "level balance", "overlap", "2 holdout tasks", "18 tasks"):
        assert words in said


def test_a_prior_with_spread_is_a_mean_over_what_may_be():
    space = coffee()
    wide = {**PRIOR, "price": [-0.4, 0.2]}
    draws = prior_draws(space, wide)
    assert len(draws) == 64
    place = coding(space).terms.index("price")
    assert draws[:, place].mean() == pytest.approx(-0.4, abs=0.02)
    assert draws[:, place].std() == pytest.approx(0.2, abs=0.03)
    tasks = designed(Conjoint((12,), "random"), space).asked
    x = coding(space).x(tasks)
    one_by_one = [d_error(information(x, b[None])) for b in draws]
    assert d_error(information(x, draws)) == pytest.approx(np.mean(one_by_one))


def test_priors_are_utilities_less_the_mean_of_their_attribute():
    space = coffee()
    beta = dict(zip(coding(space).terms, prior_draws(space, PRIOR)[0], strict=True))
    assert beta["size[500 g]"] == pytest.approx(0.5 - 0.5)
    assert beta["size[1 kg]"] == pytest.approx(1.0 - 0.5)
    assert beta["roast[dark]"] == pytest.approx(0.3 - 0.1)
    assert beta["const:a"] == 2.5 and beta["price"] == -0.4


# --- what is wrong -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("prior", "message"),
    [
        ({"prise": -1}, r"no attribute 'prise' \(did you mean 'price'\?\)"),
        ({"size": {"500g": 1}}, r"no '500g' \(did you mean '500 g'\?\)"),
        ({"size": 0.5}, "give utilities by level"),
        ({"price": "low"}, r"conjoint.prior.price is 'low': give a utility"),
        ({"price": [-1, -0.5]}, r"give a utility, or \[mean, standard deviation\]"),
        ({"alternatives": {"d": 1}}, "conjoint.prior.alternatives: no 'd'"),
        ({"price": float("nan")}, "give a utility"),
    ],
)
def test_impossible_priors_are_named(prior, message):
    with pytest.raises(StudyError, match=message):
        prior_draws(coffee(), prior)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"size": "2 kg", "price": 3}, "'size' has no level '2 kg'"),
        ({"sise": "1 kg", "price": 3}, r"no attribute 'sise' \(did you mean 'size'\?\)"),
        ({"size": "1 kg"}, "name levels of two attributes or more"),
        ({"size": "1 kg", "price": 3, "alternative": "z"}, "no priced alternative 'z'"),
    ],
)
def test_impossible_prohibitions_are_named(entry, message):
    with pytest.raises(StudyError, match=message):
        coffee([entry])


@pytest.mark.parametrize("grid", [(1.0, float("nan")), (1.0, 1.0), ()])
def test_prices_are_distinct_numbers(grid):
    with pytest.raises(StudyError, match="price of 'a'"):
        Space.of(Menu.of("A", "B"), {"a": grid, "b": (1.0,)}, [SIZE])


def test_prohibitions_that_leave_nothing_are_said():
    rules = [{"size": ["250 g", "500 g"], "price": list(GRID)}, {"size": "1 kg", "price": [3, 5]}]
    rules += [{"size": "1 kg", "price": [7, 9], "alternative": "b"}]
    with pytest.raises(StudyError, match="leave the alternative 'b' no profile"):
        draw(coffee(rules), generator(0))
    # A way that is hard to find by chance is found.
    narrow = [{"size": ["250 g", "500 g"], "price": list(GRID)}, {"size": "1 kg", "price": [3, 5]}]
    assert coffee(narrow).allowed(draw(coffee(narrow), generator(0)))


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (Conjoint((0,)), r"conjoint.tasks is \[0\]"),
        (Conjoint(()), "conjoint.tasks"),
        (Conjoint((4,), "efficent"), "did you mean 'efficient'"),
        (Conjoint((4,), "random", blocks=5), "conjoint.blocks is 5, with 4 tasks"),
        (Conjoint((4,), "random", seed=-1), "conjoint.seed -1"),
        (Conjoint((4,), "random", holdouts=10**9), "conjoint.holdouts is 1000000000"),
        (Conjoint((4,), "given"), "there is no design"),
        (Conjoint((1,), "given", design=((0,) * 8,)), "task 1 of conjoint.design"),
        (Conjoint((1,), "given", design=((9,) * 9,)), "task 1 of conjoint.design"),
        (Conjoint((2,), "given", design=((0,) * 9,) * 2), "task 2 of conjoint.design asks what"),
        (Conjoint((2,), "given", design=((0,) * 9,)), "conjoint.design has 1 tasks"),
    ],
)
def test_impossible_designs_are_named(made, message):
    with pytest.raises(StudyError, match=message):
        designed(made, coffee())


def test_a_design_that_is_given_may_not_break_the_rules():
    bad = (0, 2, 0) * 3  # 1 kg at the lowest price
    made = Conjoint((1,), "given", design=(bad,), prohibited=BARRED)
    with pytest.raises(StudyError, match="prohibited together"):
        designed(made, coffee(BARRED))
