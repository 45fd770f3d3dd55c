"""From texts to probabilities by anchor statements."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import llmdemand as ld
from llmdemand.belief.measures.anchors import Anchors, read_anchors
from llmdemand.belief.measures.similarity import similarities
from llmdemand.errors import UsageError
from llmdemand.lab.experiments.measures import trigrams

STUDY = ld.load_study("pampers")
MENU = STUDY.menu


def by_hand(text, anchors, epsilon=0.0, temperature=1.0):
    """The published formula, number by number."""
    sets = []
    for some in anchors:
        g = [(1 + float(text @ a) / (np.linalg.norm(text) * np.linalg.norm(a))) / 2 for a in some]
        low = g.index(min(g))
        top = [x - g[low] + (epsilon if k == low else 0) for k, x in enumerate(g)]
        sets.append([t / (sum(g) - len(g) * g[low] + epsilon) for t in top])
    mean = [sum(p) / len(sets) for p in zip(*sets, strict=True)]
    power = [p ** (1 / temperature) for p in mean]
    return [p / sum(power) for p in power]


@pytest.mark.parametrize(("epsilon", "temperature"), [(0, 1), (0.05, 1), (0.01, 0.5), (0, 3)])
def test_similarities_are_those_of_the_published_formula(epsilon, temperature):
    rng = np.random.default_rng(3)
    texts, anchors = rng.normal(size=(5, 7)), rng.normal(size=(4, 3, 7))
    found = similarities(texts, anchors, epsilon=epsilon, temperature=temperature)
    for row, text in zip(found, texts, strict=True):
        assert row == pytest.approx(by_hand(text, anchors, epsilon, temperature))


NUMBERS = st.floats(-5, 5).map(lambda x: round(x, 3) + 0.0005)


@given(arrays(float, (3, 4), elements=NUMBERS), arrays(float, (2, 3, 4), elements=NUMBERS))
def test_probabilities_whatever_the_length_of_vectors(texts, anchors):
    found = similarities(texts, anchors)
    known = np.isfinite(found).all(axis=1)
    assert (found[known] >= 0).all() and found[known].sum(axis=1) == pytest.approx(1)
    again = similarities(8 * texts, 0.5 * anchors)  # powers of two round nothing
    assert again[known] == pytest.approx(found[known], abs=1e-6)


def test_one_similarity_to_all_is_no_probability():
    anchors = np.array([[[1.0, 0.0], [1.0, 0.0]]])
    assert np.isnan(similarities(np.array([[0.3, 0.4]]), anchors)).all()


@pytest.mark.parametrize("options", [{"epsilon": -1}, {"temperature": 0}, {"epsilon": np.nan}])
def test_impossible_options(options):
    with pytest.raises(UsageError, match="give a"):
        similarities(np.ones((1, 2)), np.ones((1, 2, 2)), **options)


def panel_of(texts):
    """One answer per cell, in turn."""
    turn = iter(range(10**6))
    backend = ld.ChoiceOnlyBackend(lambda s, u: texts[next(turn) % len(texts)], "texts")
    return ld.simulate(STUDY, backend, runs=1, seed=1)


def test_texts_without_log_probabilities_become_a_panel_of_similarity(tmp_path):
    panel = panel_of(["I choose Huggies.", "I choose Pampers.", "I would go with it.", ""])
    asked = []

    def embed(texts):
        asked.append(texts)
        return trigrams(texts)

    found = ld.by_similarity(panel, embed)
    assert found.measure == found.provenance["measure"] == "similarity"
    # The statements once, then every different text once; silence is not embedded.
    texts = ["I choose Huggies.", "I choose Pampers.", "I would go with it."]
    assert len(asked) == 2 and sorted(asked[1]) == texts
    assert found.statuses["no_output"] == 4 and found.statuses["ok"] == 12
    first = found.frame[found.frame["text"] == "I choose Huggies."].iloc[0]
    assert first["belief_huggies"] > first["belief_pampers"] and first["choice"] == "huggies"
    unread = found.frame[found.frame["text"] == "I would go with it."]
    assert unread["choice"].isna().all() and unread["belief_pampers"].notna().all()
    assert found.provenance["similarity"]["anchors"]["pampers"][0] == "I choose Pampers."
    found.write(tmp_path / "s.parquet")
    assert ld.Panel.read(tmp_path / "s.parquet").measure == "similarity"
    fit = ld.fit_demand(found)
    assert fit.reading == "similarity" and "not model belief" in fit.summary()
    assert fit.nobs == 12 and ld.fit_demand(found, "choice").nobs == 8


def test_a_text_like_no_statement_is_indistinct():
    found = ld.by_similarity(panel_of(["I choose Huggies.", "..."]), trigrams)
    assert found.statuses["indistinct"] == 8 and len(found.usable) == 8


def test_log_probabilities_make_no_difference(synthetic_panel):
    found = ld.by_similarity(synthetic_panel, trigrams)
    bare = synthetic_panel.frame.assign(belief_pampers=0.2, belief_huggies=0.3, belief_neither=0.5)
    again = ld.by_similarity(ld.Panel(bare, synthetic_panel.study), trigrams)
    assert again.frame["belief_pampers"].equals(found.frame["belief_pampers"])
    assert found.frame["lo_pampers"].isna().all() and (found.frame["pivot_index"] == -1).all()


def test_panels_without_texts_are_refused():
    with pytest.raises(UsageError, match="stopped at their pivot"):
        ld.by_similarity(ld.load_panel("pampers"), trigrams)
    stated = ld.simulate(replace(STUDY, measure="stated"), "synthetic", runs=1)
    with pytest.raises(UsageError, match="state percentages"):
        ld.by_similarity(stated, trigrams)


@pytest.mark.parametrize(
    ("embed", "said"),
    [
        ("local", "give a function"),
        (lambda texts: [1.0] * len(texts), "shape"),
        (lambda texts: [[1.0]] * (len(texts) - 1), "one vector for each"),
        (lambda texts: [[1.0, float("nan")]] * len(texts), "no finite vector"),
        (lambda texts: [["a", "b"]] * len(texts), "vectors of numbers"),
        (lambda texts: [[0.0, 0.0]] * len(texts), "zero vector"),
        (lambda texts: np.ones((len(texts), len(texts))), "one embedding"),
    ],
)
def test_embeddings_that_are_none(embed, said):
    with pytest.raises(UsageError, match=said):
        ld.by_similarity(panel_of(["Pampers", "Huggies"]), embed)


def test_anchors_are_checked(tmp_path):
    for given_, said in [
        (["I buy it."], "lacks {label}"),
        ({"pampers": ["a"], "huggies": ["b"]}, "differ or are 0"),
        ({"pampers": ["a"], "huggies": ["A "], "neither": ["c"]}, "says the same"),
        ({"pampers": ["a"], "huggies": [" "], "neither": ["c"]}, "is empty"),
        ({"pampersx": ["a"]}, "did you mean 'pampers'"),
        ({"pampers": 3, "huggies": ["b"], "neither": ["c"]}, "list of texts"),
    ]:
        with pytest.raises(UsageError, match=said):
            Anchors.of(MENU, given_)
    path = tmp_path / "a.toml"
    path.write_text('templates = ["I take {label}."]')
    assert read_anchors(path, MENU).statements["neither"] == ("I take neither.",)
    path.write_text('pampers = ["P!"]\nhuggies = "H!"\nneither = ["N!"]')
    assert read_anchors(path, MENU).statements["huggies"] == ("H!",)
    path.write_text("[")
    with pytest.raises(UsageError, match="cannot be read as TOML"):
        read_anchors(path, MENU)
    with pytest.raises(UsageError, match="no/such"):
        read_anchors("no/such", MENU)
    with pytest.raises(UsageError, match="the panel's menu"):
        ld.by_similarity(panel_of(["Pampers"]), trigrams, Anchors({"a": ("x",), "b": ("y",)}))
