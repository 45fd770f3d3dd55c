"""Shared paths: the law of plain sampling, exactly, on toy models that are enumerated."""

import itertools
import math
import random
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmdemand import load_study
from llmdemand.belief.tokens import Token
from llmdemand.core.sampling import Sampling
from llmdemand.simulation.backends import draw
from llmdemand.simulation.backends.draw import Candidate, Draw, Paths, Stopping, tail_weights
from llmdemand.simulation.requests import requests

STUDY = load_study("pampers")
WORDS = [b"", b" I", b" take", b" Pampers", b" Huggies", b"!"]


class Toy:
    """A language model over six words whose law depends on what was said."""

    def __init__(self, listed, seed=0):
        self.most, self.seed, self.calls = listed, seed, Counter()

    def law(self, ids):
        rng = random.Random(f"{self.seed}{ids}")
        weights = [rng.expovariate(1.0) ** 2 for _ in WORDS]
        return [w / sum(weights) for w in weights]

    def listed(self, ids, count):
        self.calls[ids] += 1
        found = [
            Candidate(k, WORDS[k], math.log(p))
            for k, p in sorted(enumerate(self.law(ids)), key=lambda item: -item[1])
        ]
        return found[: count or self.most]

    def beyond(self, ids, excluded, temperature, seed):
        left = [k for k in range(len(WORDS)) if k not in set(excluded)]
        weights = [self.law(ids)[k] ** (1 / temperature) for k in left]
        (drawn,) = random.Random(seed).choices(left, weights)
        return Candidate(drawn, WORDS[drawn], math.log(self.law(ids)[drawn]))

    def rest(self, ids, most, request, seed, told):
        rng = random.Random(seed)
        for _ in range(most):
            weights = self.tempered(ids, request.sampling.temperature)
            (drawn,) = rng.choices(range(len(WORDS)), weights)
            if not WORDS[drawn]:
                return True
            listed = self.listed(ids, request.sampling.top_logprobs)
            names, values = zip(*((c.data, c.logprob) for c in listed), strict=True)
            token = Token(WORDS[drawn], math.log(self.law(ids)[drawn]), names, values)
            if told(token, drawn, [c.id for c in listed]):
                return False
            ids = (*ids, drawn)
        return False

    def sequences(self, temperature, longest):
        """Probability of every answer of at most `longest` words."""
        found = Counter()
        for length in range(longest + 1):
            for ids in itertools.product(range(1, len(WORDS)), repeat=length):
                p = 1.0
                for k in range(length):
                    p *= self.tempered(ids[:k], temperature)[ids[k]]
                if length < longest:
                    p *= self.tempered(ids, temperature)[0]
                found[b"".join(WORDS[k] for k in ids).decode()] += p
        return found

    def tempered(self, ids, temperature):
        weights = [p ** (1 / temperature) for p in self.law(ids)]
        return [w / sum(weights) for w in weights]


def asked(number, **sampling):
    (first, *_) = requests(STUDY, 1, seed=1)
    sampling = Sampling(**{"max_tokens": 2, "top_logprobs": 3, **sampling})
    return [replace(first, sampling=sampling, seed=1000 + k) for k in range(number)]


@pytest.mark.parametrize("listed", [1, 3, 6])
@pytest.mark.parametrize("temperature", [0.5, 1.0, 1.7])
def test_answers_have_the_law_of_plain_sampling(listed, temperature):
    toy = Toy(listed)
    paths = Paths(toy.listed, toy.beyond)
    number = 6000
    drawn = Counter(paths.walk(r).text for r in asked(number, temperature=temperature))
    law = toy.sequences(temperature, 2)
    assert math.isclose(sum(law.values()), 1.0)
    chi2 = sum((drawn[text] - number * p) ** 2 / (number * p) for text, p in law.items())
    freedom = len(law) - 1
    assert set(drawn) <= set(law)
    assert chi2 < freedom + 5 * math.sqrt(2 * freedom)


def test_an_answer_that_the_engine_goes_on_with_has_the_same_law(monkeypatch):
    monkeypatch.setattr(draw, "SHARED", 1)
    toy, number = Toy(3), 6000
    paths = Paths(toy.listed, toy.beyond, toy.rest)
    drawn = Counter(paths.walk(r).text for r in asked(number, temperature=0.7))
    law = toy.sequences(0.7, 2)
    chi2 = sum((drawn[text] - number * p) ** 2 / (number * p) for text, p in law.items())
    assert chi2 < len(law) - 1 + 5 * math.sqrt(2 * (len(law) - 1))


def test_it_ends_as_it_would_have_without():
    toy = Toy(6)
    paths = Paths(toy.listed, toy.beyond, toy.rest)
    lengths, reasons = Counter(), Counter()
    for request in asked(300, max_tokens=12, stop=("!",)):
        whole, cut = paths.walk(request), paths.walk(request, Stopping(request.format, 0.0))
        assert cut.tokens == whole.tokens[: len(cut.tokens)] and len(whole.tokens) <= 12
        names = [t.data for t in whole.tokens if t.data in (b" Pampers", b" Huggies")]
        assert (cut.finish_reason == "pivot") == bool(names)
        reasons[cut.finish_reason] += 1
        lengths[len(whole.tokens) > draw.SHARED] += 1
    assert set(reasons) >= {"pivot", "stop"} and min(lengths[True], lengths[False]) > 10


def test_every_beginning_is_evaluated_once():
    toy = Toy(6)
    paths = Paths(toy.listed, toy.beyond)
    for request in asked(500, max_tokens=3):
        paths.walk(request)
    assert max(toy.calls.values()) == 1


def test_a_run_does_not_depend_on_the_others():
    alone = [Paths(t.listed, t.beyond).walk(r) for r in asked(40) for t in [Toy(2)]]
    toy = Toy(2)
    shared = Paths(toy.listed, toy.beyond)
    assert [shared.walk(r) for r in reversed(asked(40))][::-1] == alone


def test_an_answer_ends_where_its_choice_is_settled():
    toy = Toy(6)
    paths = Paths(toy.listed, toy.beyond)
    for request in asked(60, max_tokens=6):
        whole, cut = paths.walk(request), paths.walk(request, Stopping(request.format, 0.0))
        names = [t.data for t in whole.tokens if t.data in (b" Pampers", b" Huggies")]
        assert cut.tokens == whole.tokens[: len(cut.tokens)]
        assert (cut.finish_reason == "pivot") == bool(names)
        if names:
            assert cut.tokens[-1].data == names[0] and len(cut.tokens[-1].candidates) == 3


def test_stop_strings_end_an_answer_and_are_left_out():
    toy = Toy(6)
    paths = Paths(toy.listed, toy.beyond)
    ended = [paths.walk(r) for r in asked(80, max_tokens=5, stop=("!",))]
    stopped = [r for r in ended if r.tokens and r.tokens[-1].data == b"!"]
    assert stopped and all(r.finish_reason == "stop" and "!" not in r.text for r in stopped)
    assert all(b"!" not in [t.data for t in r.tokens[:-1]] for r in ended)


@settings(max_examples=200)
@given(
    # Smaller weights would drown in the rounding of "one minus the rest".
    st.lists(st.floats(1e-3, 1.0), min_size=3, max_size=40),
    st.integers(1, 39),
    st.floats(0.3, 3.0),
)
def test_the_bounds_hold_the_tails_weight(weights, listed, temperature):
    law = sorted((w / sum(weights) for w in weights), reverse=True)
    listed = min(listed, len(law) - 1)
    power = 1 / temperature
    low, high = tail_weights(law[:listed], power)
    truth = sum(p**power for p in law[listed:])
    assert low <= truth * (1 + 1e-6) and truth <= high * (1 + 1e-6)


@settings(max_examples=200)
@given(
    st.lists(st.floats(1e-4, 1.0), min_size=3, max_size=20),
    st.floats(0.3, 3.0),
    st.floats(0, 1, exclude_max=True),
)
def test_a_draw_that_is_settled_by_a_short_list_is_the_same_by_the_whole(weights, t, uniform):
    law = sorted((w / sum(weights) for w in weights), reverse=True)
    candidates = [Candidate(k, b"x", math.log(p)) for k, p in enumerate(law)]
    short = Draw(candidates[:2], t).index(uniform)
    whole = Draw(candidates, t).index(uniform)
    if short is not None and short < 2 and whole is not None:
        assert short == whole


def test_whole_answers_are_drawn_by_cell_and_replicate_alone():
    toy, (first, *_) = Toy(6), asked(1, max_tokens=6)
    runs = [replace(first, seed=1000 + k, replicate=k) for k in range(2000)]
    until = Stopping(first.format, 0.25, early=1)
    paths = Paths(toy.listed, toy.beyond, toy.rest)
    found = {r.replicate: paths.walk(r, until) for r in reversed(runs)}
    alone = Paths(toy.listed, toy.beyond, toy.rest)
    later = named = whole = 0
    for r in runs:
        answer, end = found[r.replicate], alone.walk(r)
        assert alone.walk(r, until) == answer
        assert answer.tokens == end.tokens[: len(answer.tokens)]
        data = [t.data for t in end.tokens]
        places = [k for k, d in enumerate(data) if d in (b" Pampers", b" Huggies")]
        # Who names nothing, or names it early, is never stopped, and says that it is certain.
        if not places or places[0] < 1:
            assert answer == end and answer.whole_probability == 1
            continue
        assert answer.whole_probability == 0.25
        named += 1
        stopped = answer.finish_reason == "pivot"
        assert stopped or answer.tokens == end.tokens
        whole += not stopped
        later += data[places[0]] == b" Pampers" and not stopped
    assert named > 500 and abs(whole / named - 0.25) < 4 * math.sqrt(0.25 * 0.75 / named)
    # The draw knows nothing of the answer.
    pampers = sum(
        r.tokens[-1].data == b" Pampers" for r in found.values() if r.finish_reason == "pivot"
    )
    assert abs(later / whole - pampers / (named - whole)) < 0.1
