"""E[b~] = P(F = a), by enumeration of every text of random toy language models."""

import itertools

import numpy as np
import pytest

from llmdemand.modeling.outcomes.corrected import Readings, corrected
from llmdemand.modeling.outcomes.stopped import augmented

ALTERNATIVES, VOCABULARY, LENGTH = 3, 6, 3
NAMES = {0: 0, 1: 1, 2: 2, 3: 0}  # token -> alternative; the others name nothing


class Toy:
    """Next-token laws by prefix, and the ranked list of each."""

    def __init__(self, seed, listed):
        self.rng, self.listed, self.laws = np.random.default_rng(seed), listed, {}

    def law(self, prefix):
        if prefix not in self.laws:
            p = self.rng.dirichlet(np.full(VOCABULARY, 0.6))
            self.laws[prefix] = p, set(np.argsort(-p, kind="stable")[: self.listed].tolist())
        return self.laws[prefix]

    def texts(self):
        for text in itertools.product(range(VOCABULARY), repeat=LENGTH):
            yield text, np.prod([self.law(text[:t])[0][text[t]] for t in range(LENGTH)])

    def names(self, text):
        """Of each name in the text: its alternative, the belief there, whether it is ranked."""
        for t, token in enumerate(text):
            if token in NAMES:
                p, ranked = self.law(text[:t])
                mass = np.zeros(ALTERNATIVES)
                for k in ranked & set(NAMES):
                    mass[NAMES[k]] += p[k]
                known = token in ranked
                yield NAMES[token], mass / mass.sum() if known else mass * np.nan, known


def first(text, _):
    return next((NAMES[t] for t in text if t in NAMES), -1)


def last(text, _):
    return next((NAMES[t] for t in text[::-1] if t in NAMES), -1)


def at_random(text, rng):
    return int(rng.integers(-1, ALTERNATIVES))


def adversarial(text, _):
    """Never what the pivot says, depending on the very end."""
    return -1 if text[-1] == 5 else (first(text, _) + 1 + text[-1] % 2) % ALTERNATIVES


READERS = [first, last, at_random, adversarial]


def everything(seed, listed, reader):
    toy, rng = Toy(seed, listed), np.random.default_rng(seed + 1)
    rows = []
    for text, p in toy.texts():
        named = list(toy.names(text))
        pivot = named[0] if named else (-1, np.full(ALTERNATIVES, np.nan), False)
        later = [*named[1:], *[(-1, np.full(ALTERNATIVES, np.nan), False)] * LENGTH][: LENGTH - 1]
        rows.append((p, *pivot, reader(text, rng), later))
    p, pivot, belief, ranked, final, later = zip(*rows, strict=True)
    place = [next((t for t in range(LENGTH) if text[t] in NAMES), 0) for text, _ in toy.texts()]
    others = tuple(
        (np.array([r[k][1] for r in later]), np.array([r[k][0] if r[k][2] else -1 for r in later]))
        for k in range(LENGTH - 1)
    )
    found = Readings(np.array(belief), np.array(pivot), np.array(final), np.array(ranked), others)
    return np.array(p), found, np.array(place)


def truth(p, read):
    return np.array([p[read.final == a].sum() for a in range(ALTERNATIVES)])


@pytest.mark.parametrize("reader", READERS)
def test_corrected_belief_has_the_mean_of_the_final_choice(reader):
    worst, plain = 0.0, 0.0
    for seed in range(400):
        p, read, _ = everything(seed, 2 + seed % 4, reader)
        found = corrected(read)
        worst = max(worst, np.abs(p @ found.outcomes - truth(p, read)).max())
        np.testing.assert_allclose(found.outcomes.sum(axis=1), found.read, atol=1e-12)
        used = read.usable
        mean = p[used] @ read.belief[used] / p[used].sum()
        plain = max(plain, np.abs(mean - truth(p, read) / truth(p, read).sum()).max())
    assert worst < 1e-12
    assert plain > 0.1 or reader is first


@pytest.mark.parametrize("reader", READERS)
def test_any_fixed_coefficient_keeps_the_mean_and_the_best_one_never_loses(reader):
    for seed in range(30):
        p, read, _ = everything(seed, 3, reader)
        f = np.eye(ALTERNATIVES)[read.final] * (read.final >= 0)[:, None]
        z = f - corrected(read).outcomes
        np.testing.assert_allclose(p @ z, 0, atol=1e-13)
        c = (p @ (f * z).sum(axis=1)) / (p @ (z**2).sum(axis=1))
        spread = [(p @ ((f - k * z) ** 2)).sum() for k in (0.0, c)]
        assert spread[1] <= spread[0] + 1e-12


def test_correcting_every_name_pays_where_the_first_one_is_rejected():
    """Two names: the first says nothing of the choice, the second is it."""
    rng = np.random.default_rng(2)
    n = 4000
    b1, b2 = rng.uniform(0.2, 0.8, n), rng.choice([0.1, 0.9], n)
    first_, second = (rng.random(n) >= b1).astype(np.intp), (rng.random(n) >= b2).astype(np.intp)
    read = Readings(
        np.column_stack([b1, 1 - b1]),
        first_,
        second,
        np.ones(n, bool),
        ((np.column_stack([b2, 1 - b2]), second),),
    )
    spread = {c: corrected(read, c).outcomes[:, 0].var() for c in ("one", "tuned", "every-name")}
    choice = (second == 0).var()
    # Var F = .25; the first name cannot help, the second leaves Var b2 = .16.
    assert spread["one"] > choice > spread["every-name"]
    assert spread["tuned"] == pytest.approx(choice, rel=0.03)
    assert spread["every-name"] == pytest.approx(0.16, abs=0.01)
    mean = corrected(read, "every-name").outcomes[:, 0].mean()
    assert mean == pytest.approx(0.5, abs=4 * (0.16 / n) ** 0.5)


@pytest.mark.parametrize("reader", READERS)
def test_stopped_answers_have_it_too_whatever_was_learnt(reader):
    for seed in range(25):
        p, read, stratum = everything(seed, 2 + seed % 4, reader)
        n, rng = len(p), np.random.default_rng(seed)
        # What may stop depends on the pivot; texts without one go to their end.
        pi = np.where(read.pivot >= 0, np.array([0.2, 0.5, 0.8, 1.0])[read.pivot], 1.0)
        teach = rng.integers(0, n, 200)
        rows = np.concatenate([np.arange(n), np.arange(n), teach])
        stopped = np.r_[np.zeros(n, bool), np.ones(n, bool), np.zeros(200, bool)]
        keep = ~(stopped & (pi[rows] == 1))
        rows, stopped = rows[keep], stopped[keep]
        fold = np.r_[np.zeros(len(rows) - 200, np.intp), np.ones(200, np.intp)]
        asked = Readings(
            read.belief[rows],
            read.pivot[rows],
            np.where(stopped, -1, read.final[rows]),
            read.ranked[rows],
            whole=pi[rows],
            stopped=stopped,
        )
        found = augmented(asked, stratum[rows], fold)
        mass = p[rows] * np.where(stopped, 1 - pi[rows], pi[rows])
        mine = fold == 0
        mean = mass[mine] @ found.outcomes[mine]
        np.testing.assert_allclose(mean, truth(p, read), atol=1e-12)
