"""Trees of nests: what is read, what is refused, and which lie within which."""

import numpy as np
import pytest

from llmdemand.errors import UsageError
from llmdemand.modeling.substitution.nests import tree_of, within

BRANDS = ["none", "a", "b", "c", "d"]
TWO = {"ab": ["a", "b"], "cd": ["c", "d"]}
THREE = {"brands": {"ab": ["a", "b"], "cd": ["c", "d"]}}


def test_a_tree_of_three_levels():
    tree, notes = tree_of(THREE, BRANDS)
    assert tree.names == ("brands", "ab", "cd") and tree.parents == (-1, 0, 0)
    assert tree.terms == ("dissimilarity(brands)", "dissimilarity(ab)", "dissimilarity(cd)")
    assert str(tree) == "brands (ab (a, b), cd (c, d))"
    assert notes == ("alone under the root: none",)
    assert tree.paths.tolist() == [[3, 3], [0, 1], [0, 1], [0, 2], [0, 2]]
    assert tree.inside(0) == {"a", "b", "c", "d"} and tree.inside(2) == {"c", "d"}


def test_a_list_may_hold_alternatives_and_nests():
    tree, _ = tree_of({"brands": ["a", {"rest": ["b", "c"]}]}, BRANDS)
    assert tree.members == (-1, 0, 1, 1, -1) and tree.parents == (-1, 0)


def test_labels_need_not_be_text():
    assert tree_of({1: [1, 2]}, ["1", "2", "3"])[0].members == (0, 0, -1)


@pytest.mark.parametrize(
    ("nests", "match"),
    [
        ({}, "give alternatives by nest"),
        (["a", "b"], "give alternatives by nest"),
        (
            {"ab": ["a", "bb"]},
            r"'bb' in 'ab' is no alternative \(did you mean 'b'\?\): they are none",
        ),
        ({"ab": ["a", "b"], "bc": ["b", "c"]}, "'b' is in 'ab' and in 'bc'"),
        ({"ab": ["a", "a"]}, "'a' is in 'ab' and in 'ab'"),
        ({"ab": []}, "'ab' is empty"),
        ({"ab": {}}, "'ab' is empty"),
        ({"ab": "a"}, "'ab' is 'a': give a list"),
        ({"ab": 3}, "'ab' is 3: give a list"),
        ({"all": BRANDS}, "'all' holds every alternative"),
        ({"out": {"in": ["a", "b"]}}, "'out' holds nothing but 'in'"),
        ({"x": {"x": ["a", "b"]}, "y": ["c", "d"]}, "two nests are called 'x'"),
    ],
)
def test_what_is_no_tree_is_refused_in_one_sentence(nests, match):
    with pytest.raises(UsageError, match=match) as error:
        tree_of(nests, BRANDS)
    assert "\n" not in str(error.value)


def test_dissimilarities_free_common_and_fixed():
    free, _ = tree_of(TWO, BRANDS)
    assert free.dissimilarities(np.array([0.3, 0.4])).tolist() == [0.3, 0.4, 1.0]
    assert tree_of(TWO, BRANDS, "free")[0] == free
    common, _ = tree_of(TWO, BRANDS, "common")
    assert common.terms == ("dissimilarity",)
    assert common.dissimilarities(np.array([0.3])).tolist() == [0.3, 0.3, 1.0]
    fixed, notes = tree_of(TWO, BRANDS, {"ab": 0.5, "cd": "free"})
    assert fixed.terms == ("dissimilarity(cd)",)
    assert fixed.dissimilarities(np.array([0.3])).tolist() == [0.5, 0.3, 1.0]
    assert "held fixed: dissimilarity(ab) = 0.5" in notes


@pytest.mark.parametrize(
    ("dissimilarity", "match"),
    [
        ("comon", "give 'free'"),
        ({"abb": 0.5}, r"no nest 'abb' \(did you mean 'ab'\?\)"),
        ({"ab": 0}, "0 is no positive number"),
        ({"ab": np.nan}, "nan is no positive number"),
        ({"ab": True}, "True is no positive number"),
        ({"ab": "half"}, "'half' is no positive number"),
    ],
)
def test_what_is_no_dissimilarity_is_refused(dissimilarity, match):
    with pytest.raises(UsageError, match=match):
        tree_of(TWO, BRANDS, dissimilarity)


def test_a_nest_of_one_has_no_dissimilarity_and_says_so():
    nests = {"ab": ["a", "b"], "out": ["none"]}
    tree, notes = tree_of(nests, BRANDS)
    assert tree.terms == ("dissimilarity(ab)",)
    assert any("a nest of one alternative (out)" in note and "fixed at 1" in note for note in notes)
    for asked in ("free", "common", {"out": "free"}):
        with pytest.raises(UsageError, match=r"nest 'out' has one alternative.*leave the nest out"):
            tree_of(nests, BRANDS, asked)


def test_values_that_no_maximisation_gives_are_named():
    tree, _ = tree_of(THREE, BRANDS)
    assert tree.inconsistent(np.array([0.8, 0.5, 0.8])) == []
    assert tree.inconsistent(np.array([1.2, 0.5, 1.3])) == [
        "'brands' 1.2 > 1",
        "'cd' 1.3 > that of 'brands'",
    ]


def test_which_models_lie_within_which():
    free, common = tree_of(TWO, BRANDS)[0], tree_of(TWO, BRANDS, "common")[0]
    fixed, both = tree_of(TWO, BRANDS, {"ab": 0.5})[0], tree_of(THREE, BRANDS)[0]
    assert within(None, free) == "dissimilarity(ab) = 1, dissimilarity(cd) = 1"
    assert within(None, common) == "dissimilarity = 1"
    assert within(None, fixed) is None  # it is 0.5 there, not 1
    assert within(common, free) == "dissimilarity(ab) = dissimilarity(cd)"
    assert within(fixed, free) == "dissimilarity(ab) = 0.5"
    assert within(fixed, common) is None and within(free, common) is None
    assert within(free, both) == "dissimilarity(brands) = 1"
    outer = tree_of({"brands": ["a", "b", "c", "d"]}, BRANDS)[0]
    assert within(outer, both) == (
        "dissimilarity(brands) = dissimilarity(ab), dissimilarity(brands) = dissimilarity(cd)"
    )
    assert within(tree_of({"ab": ["a", "c"]}, BRANDS)[0], free) is None
    assert within(tree_of({"ac": ["a", "c"]}, BRANDS)[0], free) is None
