"""Belief from branches has the mean of the final choice: by enumeration of random toy models."""

import itertools

import numpy as np
import pytest

from llmdemand.belief.automaton import Automaton
from llmdemand.belief.branching.branches import (
    LARGE,
    MOST_BRANCHES,
    Branched,
    branch_belief,
    branch_weights,
    last_decision,
    over_branches,
    plan_branches,
)
from llmdemand.belief.extract import Extractor
from llmdemand.belief.tokens import Response, Token
from llmdemand.core.menu import Menu

ALTERNATIVES, VOCABULARY, LENGTH = 3, 6, 3
NAMES = {0: 0, 1: 1, 2: 2, 3: 0}  # token -> alternative; the others name nothing
TEXTS = list(itertools.product(range(VOCABULARY), repeat=LENGTH))
MENU = Menu.of("Pampers", "Huggies")


def first(text, _):
    return next((NAMES[t] for t in text if t in NAMES), -1)


def last(text, _):
    return next((NAMES[t] for t in text[::-1] if t in NAMES), -1)


def at_random(text, rng):
    return int(rng.integers(-1, ALTERNATIVES))


def adversarial(text, _):
    """Never what the first name says, depending on the very end."""
    return -1 if text[-1] == 5 else (first(text, _) + 1 + text[-1] % 2) % ALTERNATIVES


READERS = [first, last, at_random, adversarial]


class Toy:
    """Next-token laws by prefix, each with a ranked list, and what is read of every text."""

    def __init__(self, seed, listed):
        rng = np.random.default_rng(seed)
        self.laws, self.listed = {}, {}
        for length in range(LENGTH):
            for prefix in itertools.product(range(VOCABULARY), repeat=length):
                p = rng.dirichlet(np.full(VOCABULARY, 0.6))
                self.laws[prefix] = p
                ranked = np.argsort(-p, kind="stable")[:listed].tolist()
                self.listed[prefix] = [k for k in ranked if k in NAMES and p[k] > 0]
        # One column per reader and alternative.
        codes = np.array([[reader(text, rng) for reader in READERS] for text in TEXTS])
        read = (codes[:, :, None] == np.arange(ALTERNATIVES)).reshape(len(TEXTS), -1)
        self.read = dict(zip(TEXTS, read.astype(float), strict=True))
        # What a text that begins so is expected to be read as: its branch, drawn once.
        self.drawn = dict(self.read)
        for length in reversed(range(LENGTH)):
            for prefix in itertools.product(range(VOCABULARY), repeat=length):
                ends = np.array([self.drawn[(*prefix, k)] for k in range(VOCABULARY)])
                self.drawn[prefix] = self.laws[prefix] @ ends

    def probability(self, text):
        return np.prod([self.laws[text[:t]][text[t]] for t in range(LENGTH)])


def mean_by(weigh, toy):
    """E[b] over realised texts, small draws and branches."""
    total = np.zeros(len(READERS) * ALTERNATIVES)
    for text in TEXTS:
        p = toy.probability(text)
        for t in range(LENGTH):
            named = toy.listed[text[:t]]
            if text[t] in named:
                here = toy.laws[text[:t]][named]
                for chance, weights in weigh(here, named.index(text[t])):
                    for k, w in weights.items():
                        own = named[k] == text[t]
                        branch = (*text[:t], named[k])
                        total += p * chance * w * (toy.read[text] if own else toy.drawn[branch])
                break
        else:
            total += p * toy.read[text]
    return total


def exact(probabilities, realised):
    """Every draw among the small tokens, with its chance."""
    shares = probabilities / probabilities.sum()
    small = shares[shares < LARGE]
    if not len(small):
        return [(1.0, branch_weights(probabilities, realised, 0.5))]
    ends = np.cumsum(small) / small.sum()
    return [
        (end - begin, branch_weights(probabilities, realised, (begin + end) / 2))
        for begin, end in zip([0.0, *ends[:-1]], ends, strict=True)
    ]


def renormalised(probabilities, realised):
    """The wrong variant: the large ones and the realised one, scaled to 1."""
    shares = probabilities / probabilities.sum()
    kept = {k: s for k, s in enumerate(shares) if s >= 0.3 or k == realised}
    return [(1.0, {k: s / sum(kept.values()) for k, s in kept.items()})]


def plain(probabilities, realised):
    return [(1.0, {realised: 1.0})]


def test_the_mean_is_that_of_the_final_choice_in_400_toy_models_by_4_readers():
    worst = wrong = small = 0.0
    for seed in range(400):
        toy = Toy(seed, 2 + seed % 4)
        truth = toy.drawn[()]
        worst = max(worst, np.abs(mean_by(exact, toy) - truth).max())
        if seed < 100:
            wrong = max(wrong, np.abs(mean_by(renormalised, toy) - truth).max())
            small += any(
                0 < (laws[named] / laws[named].sum()).min() < LARGE
                for prefix, named in toy.listed.items()
                if named and len(laws := toy.laws[prefix])
            )
    assert worst < 1e-12
    assert wrong > 0.1
    assert small > 50  # the drawing of small branches was put to the test


@pytest.mark.parametrize("realised", range(5))
def test_the_realised_token_is_the_draw_if_it_is_small(realised):
    weights = branch_weights([0.5, 0.3, 0.04, 0.05, 0.01], realised, 0.999)
    assert next(iter(weights)) == realised
    assert sum(weights.values()) == pytest.approx(1)
    small = set(weights) & {2, 3, 4}
    assert small == ({realised} if realised in (2, 3, 4) else {4})
    assert weights[small.pop()] == pytest.approx(0.1 / 0.9)


def test_no_more_branches_than_said():
    for n in range(1, 40):
        weights = branch_weights([1 / n] * n, n - 1, 0.3)
        assert len(weights) - 1 <= MOST_BRANCHES
        assert sum(weights.values()) == pytest.approx(1)


IDS = {"I'd": 1, " say": 2, " P": 3, " H": 4, "ampers": 5, "uggies": 6, ",": 7, " Neither": 8}


def spoken(*words, lists):
    """An answer whose lists are given by position: {word: probability}."""
    tokens, listed = [], {}
    for place, word in enumerate(words):
        offered = {k: float(np.log(p)) for k, p in lists.get(place, {word: 1.0}).items()}
        tokens.append(Token.of(word, offered.get(word, -9.0), offered))
        listed[place] = [(IDS[k], k.encode(), v) for k, v in offered.items()]
    return Response(tuple(tokens), "".join(words)), [IDS[w] for w in words], listed


def test_an_answer_branches_where_a_listed_token_begins_a_name():
    lists = {1: {" say": 0.8, ",": 0.2}, 2: {" P": 0.6, " H": 0.3, ",": 0.1}}
    answer, ids, listed = spoken("I'd", " say", " P", "ampers", lists=lists)
    plan = plan_branches(Automaton(MENU), answer, ids, listed, 0.5)
    assert (plan.position, plan.prefix, plan.begun) == (2, (1, 2), b"I'd say")
    assert [(b.token, b.data) for b in plan.branches] == [(3, b" P"), (4, b" H")]
    assert [b.weight for b in plan.branches] == pytest.approx([2 / 3, 1 / 3])
    cold = plan_branches(Automaton(MENU), answer, ids, listed, 0.5, power=2.0)
    assert [b.weight for b in cold.branches] == pytest.approx([0.8, 0.2])


def test_a_realised_token_from_outside_the_list_goes_on_to_the_next_name():
    lists = {0: {" H": 0.9}, 3: {" H": 0.7, " P": 0.3}}
    answer, ids, listed = spoken(" P", "ampers", ",", " H", "uggies", lists=lists)
    plan = plan_branches(Automaton(MENU), answer, ids, listed, 0.5)
    assert plan.position == 3
    assert [b.weight for b in plan.branches] == pytest.approx([0.7, 0.3])


def test_nothing_branches_where_ids_are_unknown_or_the_text_is_another():
    lists = {0: {" P": 0.6, " H": 0.4}}
    answer, ids, listed = spoken(" P", "ampers", lists=lists)
    assert plan_branches(Automaton(MENU), answer, ids, {}, 0.5) is None
    torn = Response((Token.of("I'd", -1.0), *answer.tokens), " Pampers")
    assert plan_branches(Automaton(MENU), torn, [1, *ids], {1: listed[0]}, 0.5) is None


def test_the_row_of_a_run_is_made_of_its_branches():
    answer, *_ = spoken(" P", "ampers", lists={0: {" P": 0.6, " H": 0.4}})
    texts = ("Pampers cost too much. Huggies.", "Huggies", "No idea")
    run = Branched(
        answer.tokens, texts[0], position=0, weights=(0.6, 0.3, 0.1), texts=texts, written=(0, 3, 2)
    )
    found, columns = over_branches(Extractor(MENU)(run), run, last_decision(Automaton(MENU)), MENU)
    assert found.status == "unread" and found.choice == found.final == "huggies"
    assert found.belief == found.lower == found.upper == pytest.approx((0.0, 0.9))
    assert found.mismatch and columns["pivot_choice"] == "pampers"
    assert (columns["branches"], columns["branch_tokens"]) == (3, 5)
    assert columns["pivot_belief_pampers"] == pytest.approx(0.6)
    assert branch_belief([1.0], [None], MENU.ids) == (0.0, 0.0)


def test_an_answer_that_names_nothing_keeps_the_status_that_says_so():
    answer, *_ = spoken("I'd", ",", lists={})
    run = Branched(answer.tokens, answer.text, texts=(answer.text,), written=(0,))
    read = last_decision(Automaton(MENU))
    found, columns = over_branches(Extractor(MENU)(run), run, read, MENU)
    assert (found.status, found.choice, columns["branches"]) == ("no_pivot", None, 1)
    assert np.isnan(found.belief).all()
