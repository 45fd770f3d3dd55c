"""Consumers to whom levels of attributes are worth something."""

import math
from dataclasses import replace

import pytest

import llmdemand as ld
from llmdemand.errors import UsageError
from llmdemand.simulation.backends.known.file import read_options


@pytest.fixture(scope="module")
def coffee(tmp_path_factory):
    return ld.load_study(
        ld.new_study(tmp_path_factory.mktemp("coffee") / "coffee.toml", conjoint=True)
    )


def test_the_prior_is_the_truth_of_a_rehearsal(coffee):
    truth = ld.SyntheticBackend(coffee)
    for cell in coffee.cells()[:6]:
        v = {"neither": 0.0}
        for a, constant in (("aroma", 3.0), ("bosco", 2.7), ("cima", 2.4)):
            size = 1.4 if cell.attributes["size"][a] == "500 g" else 0.0
            roast = {"light": 0.0, "medium": 0.5, "dark": 0.2}[cell.attributes["roast"][a]]
            v[a] = constant - 0.35 * cell.prices[a] + size + roast
        whole = sum(map(math.exp, v.values()))
        for a, share in truth.truth(cell).items():
            assert share == pytest.approx(math.exp(v[a]) / whole, rel=1e-12)
    assert "size 500 g 1.4" in truth.model
    known = truth.known_truth
    assert known["part_worths"] == {"size": [0.0, 1.4], "roast": [0.0, 0.5, 0.2]}
    assert known["price"] == -0.35
    assert any("levels of attributes" in words for words in known["beyond_logit"])


def test_what_is_given_takes_the_place_of_the_prior(coffee):
    given = ld.SyntheticBackend(coffee, slope=-0.2, part_worths={"roast": {"dark": 2.0}})
    assert given.consumer.slope == -0.2 and given.consumer.constants is None
    assert given.known_truth["part_worths"] == {"size": [0.0, 0.0], "roast": [0.0, 0.0, 2.0]}
    other = ld.SyntheticBackend(coffee, part_worths={"roast": {"dark": 1.0}})
    assert (given.model, given.settings) != (other.model, other.settings)
    wide = replace(
        coffee, conjoint=replace(coffee.conjoint, prior={"price": [-0.3, 0.1]}, design=(), block=())
    )
    assert ld.SyntheticBackend(wide).consumer.slope == -0.3


def test_beliefs_have_the_shares_as_their_mean(coffee):
    truth = ld.SyntheticBackend(coffee)
    cell = coffee.cells()[3]
    panel = ld.simulate(
        replace(
            coffee,
            personas=coffee.personas[:1],
            conjoint=replace(coffee.conjoint, blocks=1, block=()),
        ),
        truth,
        runs=60,
        seed=4,
    )
    rows = panel.frame[panel.frame["task"] == cell.task]
    for a, share in truth.truth(cell).items():
        # 60 beliefs with intra-cell correlation 0.054.
        assert rows[f"belief_{a}"].mean() == pytest.approx(share, abs=5 * 0.12 / 60**0.5)


def test_prices_alone_do_not_say_the_shares(coffee):
    truth = ld.SyntheticBackend(coffee)
    with pytest.raises(UsageError, match="depend on the attributes"):
        truth.truth({"aroma": 8.0, "bosco": 8.0, "cima": 8.0})
    with pytest.raises(UsageError, match="depend on the attributes"):
        truth.probability(8.0)


@pytest.mark.parametrize(
    ("worths", "message"),
    [
        ({"roasts": {"dark": 1}}, "no attribute 'roasts'.*did you mean 'roast'"),
        ({"roast": {"darkk": 1}}, "no level 'darkk'.*did you mean 'dark'"),
        ({"roast": 1.0}, "give utilities by level"),
        ({"roast": {"dark": math.nan}}, r"part_worths\['roast'\]\['dark'\]=nan"),
    ],
)
def test_what_is_wrong_is_named(coffee, worths, message):
    with pytest.raises(UsageError, match=message):
        ld.SyntheticBackend(coffee, part_worths=worths)


def test_rival_slopes_exclude_part_worths(coffee):
    with pytest.raises(UsageError, match="rival_slope moves the focal share alone"):
        ld.SyntheticBackend(coffee, rival_slope=0.1, part_worths={"roast": {"dark": 1.0}})


def test_part_worths_come_from_a_file(tmp_path, coffee):
    path = tmp_path / "consumer.toml"
    path.write_text(
        "slope = -0.2\n[constants]\naroma = 1\nbosco = 1\ncima = 1\n"
        "[part_worths.roast]\ndark = 1.5\n",
        "utf-8",
    )
    options = read_options(path, ld.SyntheticBackend)
    assert ld.SyntheticBackend(coffee, **options).known_truth["part_worths"]["roast"][2] == 1.5
    path.write_text('[part_worths]\nroast = "dark"\n', "utf-8")
    with pytest.raises(UsageError, match=r"part_worths = .*give a table by attribute"):
        read_options(path, ld.SyntheticBackend)
