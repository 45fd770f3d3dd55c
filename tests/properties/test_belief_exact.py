"""Belief is exactly unbiased: every sentence of hundreds of toy language models, enumerated."""

import functools
import math
import random
import warnings

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmdemand.belief.extract import Extractor, extract
from llmdemand.belief.mentions import mentions
from llmdemand.belief.tokens import Response, Token, ranked
from llmdemand.belief.tree import tree
from llmdemand.core.menu import Alternative, Menu

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    MENUS = {
        "plain": Menu.of("Pampers", "Huggies", outside="neither"),
        "shared": Menu.of("Pampers", "Pull-Ups", "Huggies"),
        "nested": Menu.of("Coke", "Coke Zero", "Pepsi"),
        "numbers": Menu.of("1", "10", "2"),
        "letters": Menu.of("A", "B", "C"),
        "whole": Menu(
            (
                Alternative("pampers", "Pampers"),
                Alternative("huggies", "Huggies"),
                Alternative("refused", "I cannot say", whole=True, outside=True),
            )
        ),
    }

COMMON = ["I", " would", " choose", "**", ".", ",", "\n", "(", " not", " between", " the", "'d"]
PIECES = {
    "plain": ["P", " P", "amp", "ers", " Pampers", "PAMPERS", " H", "ugg", " Huggies", " neither"],
    "shared": [" P", "P", "amp", "ull", "-Ups", " Pampers", " Pull", " Huggies", "H"],
    "nested": [" Coke", "Coke", " Zero", " Z", "ero", " Pepsi", "s", " zero", " is"],
    "numbers": ["1", " 1", "0", " 10", "2", ".", " or"],
    "letters": ["A", " A", "B", " B)", "C", ")", " a", "Option", " good"],
    "whole": [" Pampers", " H", "uggies", "I", " cannot", " say", " Huggies"],
}
END = b""


class Toy:
    """A language model with a random law after every history, ending within `depth` tokens."""

    def __init__(self, kind, seed, depth=4, width=5):
        self.kind, self.seed, self.depth, self.width = kind, seed, depth, width
        self.vocabulary = [t.encode() for t in dict.fromkeys(COMMON + PIECES[kind])]

    @functools.cache  # noqa: B019
    def law(self, history):
        """Candidates and probabilities after a history; the end of the text is certain at last."""
        if len(history) == self.depth:
            return ((END, 1.0),)
        rng = random.Random(f"{self.kind}-{self.seed}-{history}")
        weights = {
            t: rng.gammavariate(0.7, 1) + 1e-6 for t in rng.sample(self.vocabulary, self.width)
        }
        if history:
            weights[END] = rng.gammavariate(0.5, 1) + 1e-6
        total = sum(weights.values())
        return tuple((t, w / total) for t, w in weights.items())

    def sentences(self, power=1.0):
        """Every sentence as tokens with their probability under the law tempered by `power`."""

        def grow(history, tokens, probability):
            law = self.law(history)
            listed = tuple(t for t, _ in law)
            logs = tuple(math.log(p) for _, p in law)
            whole = math.fsum(p**power for _, p in law)
            for t, p in law:
                grown = (*tokens, Token(t, math.log(p), listed, logs))
                q = probability * p**power / whole
                if t == END:
                    yield grown, q
                else:
                    yield from grow((*history, t), grown, q)

        yield from grow((), (), 1.0)


def response(tokens):
    return Response(tokens, b"".join(t.data for t in tokens).decode())


def expectations(toy, extractor, power=1.0):
    """P(choice = a), E[belief_a] and E[belief_a^2] over resolved sentences, by enumeration."""
    ids = extractor.menu.ids
    chosen, belief, square = ({a: [] for a in ids} for _ in range(3))
    for tokens, q in toy.sentences(power):
        found = extractor(response(tokens))
        if found.pivot_index < 0:
            continue
        chosen[found.choice].append(q)
        for a, b in zip(ids, found.belief, strict=True):
            belief[a].append(q * b)
            square[a].append(q * b * b)
    return ({a: math.fsum(v) for a, v in part.items()} for part in (chosen, belief, square))


@pytest.mark.parametrize("kind", MENUS)
def test_mean_belief_is_the_choice_probability_and_varies_no_more(kind):
    extractor = Extractor(MENUS[kind], low_mass=0.0)
    decided = 0
    for seed in range(70):
        chosen, belief, square = expectations(Toy(kind, seed), extractor)
        for a in MENUS[kind].ids:
            assert abs(belief[a] - chosen[a]) < 1e-12, (kind, seed, a)
            # Same mean, so the smaller second moment is the smaller variance.
            assert square[a] <= chosen[a] + 1e-12, (kind, seed, a)
        decided += sum(chosen.values()) > 0.05
    assert decided > 35, "the toys must decide often enough to test anything"


def naive(tokens, menu):
    """The usual rule: the first token from a fixed list, normalised over the listed ones."""
    fixed = {}
    for index, alternative in enumerate(menu):
        for form in alternative.forms:
            for piece in (form, " " + form, form[:1], " " + form[:1]):
                fixed.setdefault(piece.encode(), index)
    for token in tokens:
        if token.data in fixed:
            mass = [0.0] * len(menu)
            for c, v in zip(token.candidates, token.logprobs, strict=True):
                if c in fixed:
                    mass[fixed[c]] += math.exp(v)
            return [m / sum(mass) for m in mass]
    return None


@pytest.mark.parametrize("kind", ["plain", "shared", "nested", "letters"])
def test_a_fixed_token_list_fails_the_same_test(kind):
    menu, extractor, worst = MENUS[kind], Extractor(MENUS[kind], low_mass=0.0), 0.0
    for seed in range(20):
        toy = Toy(kind, seed)
        chosen = [0.0] * len(menu)
        belief = [0.0] * len(menu)
        for tokens, q in toy.sentences():
            found = extractor(response(tokens))
            if found.choice is not None:
                chosen[menu.index(found.choice)] += q
            for k, b in enumerate(naive(tokens, menu) or ()):
                belief[k] += q * b
        worst = max(worst, *(abs(c - b) for c, b in zip(chosen, belief, strict=True)))
    assert worst > 0.01


@pytest.mark.parametrize("kind", MENUS)
def test_the_tree_is_the_truth_and_its_interval_contains_it_at_any_budget(kind):
    menu, extractor = MENUS[kind], Extractor(MENUS[kind], low_mass=0.0)
    for seed in range(12):
        toy = Toy(kind, seed)
        chosen, _, _ = expectations(toy, extractor)

        def score(prefix, toy=toy):
            return [(t, math.log(p)) for t, p in toy.law(prefix)]

        whole = tree(score, menu, tolerance=0.0, budget=10**6)
        assert whole.unresolved < 1e-12
        for a, low, high in zip(menu.ids, whole.lower, whole.upper, strict=True):
            assert abs(low - chosen[a]) < 1e-12 and high - low < 1e-11
        assert math.isclose(sum(whole.lower) + whole.none, 1.0, abs_tol=1e-12)
        for budget in (1, 3, 10, 40):
            part = tree(score, menu, tolerance=0.0, budget=budget)
            assert part.calls <= budget
            for a, low, high in zip(menu.ids, part.lower, part.upper, strict=True):
                assert low - 1e-12 <= chosen[a] <= high + 1e-12


def test_the_tree_counts_what_is_not_listed_as_unresolved():
    def score(prefix):
        return [(b" Pampers", math.log(0.5)), (b" the", math.log(0.2))] if not prefix else []

    found = tree(score, MENUS["plain"], tolerance=0.0)
    assert found.lower[0] == pytest.approx(0.5) and found.unresolved == pytest.approx(0.5)
    assert found.upper[1] == pytest.approx(0.5)


@pytest.mark.parametrize("kind", MENUS)
def test_the_whole_lists_belief_lies_within_the_bounds_of_every_cut(kind):
    extractor, checked = Extractor(MENUS[kind], low_mass=0.0), 0
    for seed in range(8):
        for tokens, _ in Toy(kind, seed, depth=3).sentences():
            full = extractor(response(tokens))
            if full.pivot_index < 0:
                continue
            pivot = tokens[full.pivot_index]
            for k in range(1, len(pivot.candidates)):
                cut = Token(pivot.data, pivot.logprob, *ranked(pivot, k))
                cut_tokens = (*tokens[: full.pivot_index], cut, *tokens[full.pivot_index + 1 :])
                found = extractor(response(cut_tokens))
                for b, low, high in zip(full.belief, found.lower, found.upper, strict=True):
                    assert low - 1e-12 <= b <= high + 1e-12
                checked += 1
    assert checked > 100


@pytest.mark.parametrize("temperature", [0.5, 2.0])
def test_tempering_is_exact_and_not_tempering_is_not(temperature):
    kind, worst = "plain", 0.0
    tempered = Extractor(MENUS[kind], temperature=temperature, low_mass=0.0)
    plain = Extractor(MENUS[kind], low_mass=0.0)
    for seed in range(25):
        toy = Toy(kind, seed)
        chosen, belief, _ = expectations(toy, tempered, 1 / temperature)
        _, raw, _ = expectations(toy, plain, 1 / temperature)
        for a in MENUS[kind].ids:
            assert abs(belief[a] - chosen[a]) < 1e-12
            worst = max(worst, abs(raw[a] - chosen[a]))
    assert worst > 0.02


@pytest.mark.parametrize("temperature", [0.5, 2.0])
def test_tempered_bounds_contain_the_whole_lists_belief(temperature):
    extractor = Extractor(MENUS["plain"], temperature=temperature, low_mass=0.0)
    for seed in range(8):
        for tokens, _ in Toy("plain", seed, depth=3).sentences():
            full = extractor(response(tokens))
            if full.pivot_index < 0:
                continue
            pivot = tokens[full.pivot_index]
            cut = Token(pivot.data, pivot.logprob, *ranked(pivot, 2))
            found = extractor(response((*tokens[: full.pivot_index], cut)))
            for b, low, high in zip(full.belief, found.lower, found.upper, strict=True):
                assert low - 1e-12 <= b <= high + 1e-12


def readers(menu):
    """Four readings of a whole text; the last one is against the pivot on purpose."""
    ids = menu.ids

    def drawn(text, found):
        return random.Random(text).choice([*ids, None])

    return {
        "first": lambda text, found: next((a for _, a in mentions(text, menu)), None),
        "last": lambda text, found: next((a for _, a in reversed(mentions(text, menu))), None),
        "random": drawn,
        "adverse": lambda text, found: next((a for a in ids if a != found.choice), None),
    }


def corrected(belief, final, pivot, counted=True):
    """Belief + 1{F} - 1{P}, or 1{F} of a run without a belief that the list made."""
    return [(b - (k == pivot) if counted else 0.0) + (k == final) for k, b in enumerate(belief)]


def with_the_realised(token, most):
    """A list as some servers write it: what was asked for, and the realised token."""
    names, values = ranked(token, most)
    if token.data in names:
        return Token(token.data, token.logprob, names, values)
    return Token(token.data, token.logprob, (*names, token.data), (*values, token.logprob))


def biases(kind, seed):
    """Largest |E[belief] - P| over alternatives and readers, with lists of 2 to 5.

    Of belief by the ranked list alone, of belief by that list and the realised token
    (both corrected for the whole text), and of the latter uncorrected.
    """
    menu, most = MENUS[kind], 2 + seed % 4
    rules = {
        "ranked": Extractor(menu, low_mass=0.0, listed=most),
        "realised": Extractor(menu, low_mass=0.0),
    }
    gaps = {}

    def add(key, q, made, target):
        gap = gaps.setdefault(key, [0.0] * len(menu))
        for k, b in enumerate(made):
            gap[k] += q * (b - (k == target))

    for tokens, q in Toy(kind, seed, depth=3).sentences():
        served = response(tuple(with_the_realised(t, most) for t in tokens))
        for rule, extractor in rules.items():
            found = extractor(served)
            pivot = menu.index(found.choice) if found.pivot_index >= 0 else -1
            for name, read in readers(menu).items():
                said = read(served.text, found)
                final = -1 if said is None else menu.index(said)
                made = corrected(found.belief, final, pivot, found.pivot_listed is True)
                add((rule, name), q, made, final)
            if rule == "realised" and pivot >= 0:
                add(("plain", ""), q, found.belief, pivot)
    worst = dict.fromkeys(("ranked", "realised", "plain"), 0.0)
    for (rule, _), gap in gaps.items():
        worst[rule] = max(worst[rule], *map(abs, gap))
    return worst


@pytest.mark.parametrize("kind", MENUS)
def test_corrected_belief_is_exact_whatever_the_list_hides_and_the_reader_says(kind):
    for seed in range(68):
        assert biases(kind, seed)["ranked"] < 1e-12, seed


def test_counting_the_realised_token_is_wrong_by_more_than_a_tenth_somewhere():
    found = [biases("plain", seed) for seed in range(68)]
    assert max(f["realised"] for f in found) > 0.1
    assert max(f["plain"] for f in found) > 0.1


words = st.sampled_from([" Pampers", " P", " H", " Huggies", " neither", " N", " the", "**", " I"])
listed = st.dictionaries(words, st.floats(0.01, 1.0), min_size=2, max_size=8)


def one_token(weights, realised, tail=0.0):
    total = sum(weights.values()) / (1 - tail)
    return Token.of(
        realised,
        math.log(weights[realised] / total),
        {w: math.log(v / total) for w, v in weights.items()},
    )


@settings(max_examples=300)
@given(listed, st.data())
def test_belief_sums_to_one_whatever_the_order_of_the_list(weights, data):
    realised = data.draw(st.sampled_from(sorted(weights)))
    token = one_token(weights, realised)
    found = extract(Response((token,), realised), MENUS["plain"])
    if found.pivot_index < 0:
        return
    assert math.isclose(sum(found.belief), 1.0, abs_tol=1e-12)
    assert math.isclose(
        found.decided_mass + found.undecided_mass + found.tail_mass, 1.0, abs_tol=1e-9
    )
    order = data.draw(st.permutations(range(len(token.candidates))))
    shuffled = Token(
        token.data,
        token.logprob,
        tuple(token.candidates[k] for k in order),
        tuple(token.logprobs[k] for k in order),
    )
    again = extract(Response((shuffled,), realised), MENUS["plain"])
    assert again.belief == pytest.approx(found.belief, abs=1e-12)


@settings(max_examples=200)
@given(listed, st.data(), st.floats(0.01, 0.5))
def test_off_menu_tokens_change_no_belief(weights, data, extra):
    realised = data.draw(st.sampled_from(sorted(weights)))
    token = one_token(weights, realised, tail=0.5)
    more = Token(
        token.data,
        token.logprob,
        (*token.candidates, b" cherries"),
        (*token.logprobs, math.log(extra)),
    )
    first, second = (
        extract(Response((t,), realised), MENUS["plain"], low_mass=0) for t in (token, more)
    )
    assert (first.choice, first.status) == (second.choice, second.status)
    if first.pivot_index >= 0:
        assert first.belief == second.belief


@settings(max_examples=100)
@given(listed, st.data())
def test_permuting_alternatives_permutes_the_answer(weights, data):
    realised = data.draw(st.sampled_from(sorted(weights)))
    answer = Response((one_token(weights, realised),), realised)
    order = data.draw(st.permutations(range(3)))
    menu = MENUS["plain"]
    permuted = Menu(tuple(menu.alternatives[k] for k in order))
    first, second = extract(answer, menu), extract(answer, permuted)
    assert (first.choice, first.status) == (second.choice, second.status)
    if first.pivot_index >= 0:
        assert [first.belief[k] for k in order] == pytest.approx(list(second.belief), abs=1e-12)


pieces = st.one_of(
    st.sampled_from([t.encode() for t in COMMON + PIECES["plain"] + ["<think>", "Answer:", "A"]]),
    st.binary(max_size=4),
    st.text(max_size=3).map(lambda s: s.encode("utf-8", "ignore")),
)
values = st.one_of(
    st.floats(-30, 0), st.sampled_from([0.0, math.nan, math.inf, -math.inf, -9999.0, -800.0, 1.0])
)


@settings(max_examples=500)
@given(
    st.lists(
        st.tuples(pieces, values, st.lists(st.tuples(pieces, values), max_size=4)), max_size=8
    ),
    st.sampled_from(["plain", "letters"]),
    st.sampled_from([(), ("Answer:",)]),
    st.sampled_from([0.5, 1.0, 2.0]),
)
def test_no_response_is_an_exception(made, kind, anchors, temperature):
    tokens = tuple(
        Token(data, v, tuple(c for c, _ in listed), tuple(w for _, w in listed))
        for data, v, listed in made
    )
    text = b"".join(t.data for t in tokens).decode(errors="replace")
    found = extract(Response(tokens, text), MENUS[kind], anchors=anchors, temperature=temperature)
    if found.status in ("ok", "low_mass"):
        assert math.isclose(sum(found.belief), 1.0, abs_tol=1e-9)
        for b, low, high in zip(found.belief, found.lower, found.upper, strict=True):
            assert 0 <= low <= b + 1e-9 and b <= high + 1e-9 and high <= 1 + 1e-9
    else:
        assert all(math.isnan(b) for b in found.belief)
