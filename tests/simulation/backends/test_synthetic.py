"""The known-truth consumer: what it says of itself is what its answers show."""

import asyncio
import hashlib
import json
import math
import warnings
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmdemand.belief.extract import Extractor
from llmdemand.belief.readers import to_compact
from llmdemand.core.menu import MenuWarning
from llmdemand.core.study import Study, load_study
from llmdemand.errors import UsageError
from llmdemand.simulation.backend import AnswerFormat, Backend, Request, run_seed
from llmdemand.simulation.backends.known.wording import Wording
from llmdemand.simulation.backends.synthetic import SyntheticBackend
from llmdemand.simulation.run import simulate

STUDY = load_study("pampers")
HOUSEHOLDS = load_study("pampers-households")
FOCAL, RIVAL, NEITHER = 0, 1, 2


def asked(study, cell, replicate, *, order=None, sampling=None, seed=1):
    order = study.order(cell, replicate) if order is None else order
    return Request(
        f"{cell.index}-{replicate}",
        *study.prompt(cell, order),
        study.mode,
        sampling or study.sampling,
        run_seed(seed, cell.index, replicate),
        cell,
        order,
        replicate,
        AnswerFormat(study.menu, study.answer_first, study.anchors),
    )


def extractor(study, **options):
    return Extractor(study.menu, answer_first=study.answer_first, anchors=study.anchors, **options)


def at(study, price, persona=None):
    """The cell of a price (and a persona)."""
    found = (
        c
        for c in study.cells()
        if c.prices[study.focal] == price and persona in (None, c.persona.get("id"))
    )
    return next(found)


def draw(backend, study, cell, runs=1500, temperature=1.0, **how):
    """Beliefs (NaN without one), choices as 0/1 per alternative, and all that was found."""
    read = extractor(study, temperature=temperature)
    raws = [to_compact(backend.answer(asked(study, cell, r, **how))) for r in range(runs)]
    found = [read(backend.parse(raw)) for raw in raws]
    belief = np.array([f.belief for f in found])
    choice = np.array([[float(f.choice == a) for a in study.menu.ids] for f in found])
    return belief, choice, found


def near(sample, truth, errors=4.5):
    """Means within several standard errors of the truth."""
    error = sample.std(axis=0) / math.sqrt(len(sample))
    return bool((np.abs(sample.mean(axis=0) - truth) <= errors * error + 1e-5).all())


def confirm(backend, study, cell, *, order=None, **how):
    belief, choice, found = draw(backend, study, cell, order=order, **how)
    chose = ~np.isnan(belief[:, 0])
    shown = study.order(cell, 0) if order is None else order
    truth = np.array(list(backend.truth(cell, shown).values()))
    assert truth.sum() == pytest.approx(1)
    assert near(belief[chose], truth) and near(choice[chose], truth)
    assert near(belief[chose] - choice[chose], 0)
    return found


def study_of(labels, **changes):
    """The diaper study with other labels; the last one is the outside option."""
    data = {**STUDY.to_dict(), **changes}
    data["alternatives"] = [
        {"id": f"a{k}", "label": label, "outside": k == len(labels) - 1}
        | ({"price": 30.0 if k else [30.0, 35.0]} if k < len(labels) - 1 else {})
        for k, label in enumerate(labels)
    ]
    data["focal"] = "a0"
    return Study.from_dict(data)


def test_the_default_answers_are_those_of_the_first_release():
    # Digest of 480 answers, made with the first released version of the module.
    digest = hashlib.sha256()
    backend = SyntheticBackend(STUDY)
    for cell in STUDY.cells():
        for replicate in range(30):
            raw = to_compact(backend.answer(asked(STUDY, cell, replicate)))
            said = [raw["text"], raw["tokens"], raw["model"]]  # the prompt may be rewritten
            digest.update(json.dumps(said).encode())
    assert digest.hexdigest() == "f0901674e951aaa826fc6d60d04e27b706c190077e2a5609086cd8a6ea2ebe60"


def test_it_follows_the_protocol_and_answers_each_request():
    backend = SyntheticBackend(STUDY)
    assert isinstance(backend, Backend)
    requests = [asked(STUDY, STUDY.cells()[0], r) for r in range(3)]

    async def gather():
        found = [raw async for raw in backend.complete(requests)]
        await backend.close()
        return found

    assert asyncio.run(gather()) == [to_compact(backend.answer(r)) for r in requests]
    assert (backend.traits.concurrency, backend.traits.per_call, backend.traits.paid) == (1, 1, 0)


def test_an_answer_does_not_depend_on_what_has_begun():
    backend, request = SyntheticBackend(STUDY), asked(STUDY, STUDY.cells()[0], 0)
    assert backend.answer(replace(request, begun="I choose")) == backend.answer(request)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"icc": 0.3, "outside": 0.5},
        {"split_icc": 0.2},
        {"split_icc": 0.2, "outside": 0.0},
        {"order_effect": 1.2},
        {"round_price_uptick": -0.8},
        {"hesitation": 0.3, "unlisted": 0.2},
        {"hesitation": 0.0, "unlisted": 0.0},
        {"preambles": "mixed", "verbose": True},
        {"subwords": True, "verbose": True},
        {"refusal_rate": 0.2, "no_pivot_rate": 0.1, "mismatch_rate": 0.2},
        {"subwords": True, "raw_logprobs": True, "preambles": "none"},
        {"constants": {"pampers": 18.5, "huggies": 16.0, "neither": -0.4}, "order_effect": 0.5},
        {"nests": {"brands": ["pampers", "huggies"]}, "dissimilarity": 0.4, "icc": 0.2},
    ],
    ids=lambda options: "-".join(options) or "default",
)
def test_mean_belief_and_mean_choice_are_the_stated_truth(options):
    backend = SyntheticBackend(STUDY, **options)
    confirm(backend, STUDY, at(STUDY, 35), order=("huggies", "pampers", "neither"))


@pytest.mark.parametrize("first", ["pampers", "huggies"])
def test_the_order_effect_is_log_odds_for_what_is_shown_first(first):
    order = (first, *(a for a in STUDY.menu.ids if a != first))
    backend, plain = SyntheticBackend(STUDY, order_effect=0.9), SyntheticBackend(STUDY)
    cell = at(STUDY, 36)
    shown, rest = backend.truth(cell, order)[first], plain.truth(cell)[first]
    assert logit(shown) - logit(rest) == pytest.approx(0.9)
    for asked_order in (order, order[::-1]):  # one after the other, of the same consumer
        confirm(backend, STUDY, cell, order=asked_order)
    assert backend.truth(cell) == plain.truth(cell)
    assert backend.probability(36, order=order) == pytest.approx(
        backend.truth(cell, order)["pampers"]
    )


def test_averaging_over_orders_recovers_the_truth_in_log_odds_with_two_alternatives():
    backend = SyntheticBackend(HOUSEHOLDS, order_effect=0.9)
    both = [backend.probability(36, order=o) for o in HOUSEHOLDS.option_orders()]
    truth = backend.probability(36)
    assert np.mean([logit(p) for p in both]) == pytest.approx(logit(truth))
    assert truth < np.mean(both) < 0.5  # in probability: nearer to one half


def test_with_three_alternatives_the_average_over_orders_is_nearly_the_truth():
    backend = SyntheticBackend(STUDY, order_effect=0.5)
    both = [logit(backend.probability(36, order=o)) for o in STUDY.option_orders()]
    assert abs(both[0] - both[1]) > 0.8
    assert np.mean(both) == pytest.approx(logit(backend.probability(36)), abs=0.05)


def test_demand_ticks_up_at_round_prices_only():
    backend = SyntheticBackend(STUDY, round_price_uptick=0.4)
    plain = SyntheticBackend(STUDY)
    lift = {
        p: logit(backend.probability(p)) - logit(plain.probability(p))
        for p in (33, 34.999, 35, 36, 40)
    }
    assert lift == pytest.approx({33: 0, 34.999: 0, 35: 0.4, 36: 0, 40: 0.4})
    confirm(backend, STUDY, at(STUDY, 40))
    tenths = SyntheticBackend(STUDY, round_price_uptick=0.4, round_to=0.1)
    assert logit(tenths.probability(3.3)) - logit(plain.probability(3.3)) == pytest.approx(0.4)


def test_personas_differ_by_their_indifference_price():
    backend = SyntheticBackend(HOUSEHOLDS, persona_sd=3.0, persona_seed=5)
    cells = [at(HOUSEHOLDS, 35, p["id"]) for p in HOUSEHOLDS.personas]
    shares = [backend.truth(c)["pampers"] for c in cells]
    assert len(set(shares)) == len(cells)
    # Another seed gives other people, and what else there is changes nobody.
    other = SyntheticBackend(HOUSEHOLDS, persona_sd=3.0, persona_seed=6)
    assert not set(shares) & {other.truth(c)["pampers"] for c in cells}
    sloped = SyntheticBackend(HOUSEHOLDS, persona_sd=3.0, persona_slope_sd=0.1, persona_seed=5)
    parameters = [b.consumer.parameters("household-1") for b in (backend, sloped)]
    assert parameters[0][1] == parameters[1][1] and parameters[0][0] != parameters[1][0]
    assert backend.probability(35, persona="household-1") == shares[0]
    order = HOUSEHOLDS.option_orders()[0]
    for cell in cells[:3]:
        confirm(sloped, HOUSEHOLDS, cell, order=order, runs=800)


def test_persona_effects_have_the_stated_standard_deviations():
    consumer = SyntheticBackend(STUDY, persona_sd=3.0, persona_slope_sd=0.1).consumer
    slope, indifference = np.array([consumer.parameters(f"p{k}") for k in range(4000)]).T
    assert indifference.mean() == pytest.approx(34.8, abs=0.2)
    assert indifference.std() == pytest.approx(3.0, rel=0.05)
    assert slope.mean() == pytest.approx(-0.535, abs=0.007)
    assert slope.std() == pytest.approx(0.1, rel=0.05)
    assert abs(np.corrcoef(slope, indifference)[0, 1]) < 0.06


def test_hesitation_and_unlisted_are_the_masses_at_the_pivot():
    backend = SyntheticBackend(STUDY, hesitation=0.25, unlisted=0.15)
    _, _, found = draw(backend, STUDY, at(STUDY, 35), runs=400)
    assert {round(f.undecided_mass, 4) for f in found} == {0.25}
    assert {round(f.tail_mass, 4) for f in found} == {0.15}
    # Hesitating: how often the first word at the pivot is a filler.
    texts = [backend.answer(asked(STUDY, at(STUDY, 35), r)).text.lower() for r in range(1000)]
    hesitant = np.mean(["maybe" in text for text in texts])
    assert hesitant == pytest.approx(0.25 / 0.85, abs=0.06)


def test_refusals_and_answers_that_name_nothing_have_their_statuses_and_rates():
    backend = SyntheticBackend(STUDY, refusal_rate=0.2, no_pivot_rate=0.1)
    found = confirm(backend, STUDY, at(STUDY, 35), order=STUDY.menu.ids)
    statuses = [f.status for f in found]
    assert set(statuses) == {"ok", "refusal", "no_pivot"}
    assert statuses.count("refusal") / len(statuses) == pytest.approx(0.2, abs=0.045)
    assert statuses.count("no_pivot") / len(statuses) == pytest.approx(0.1, abs=0.035)
    everyone = SyntheticBackend(STUDY, refusal_rate=1.0)
    assert {f.status for f in draw(everyone, STUDY, at(STUDY, 35), runs=20)[2]} == {"refusal"}


@pytest.mark.parametrize("verbose", [False, True])
def test_mismatches_are_what_the_audit_finds_and_leave_belief_alone(verbose):
    backend = SyntheticBackend(STUDY, mismatch_rate=0.3, verbose=verbose)
    found = confirm(backend, STUDY, at(STUDY, 35), order=STUDY.menu.ids)
    assert np.mean([f.mismatch for f in found]) == pytest.approx(0.3, abs=0.05)
    plain = draw(SyntheticBackend(STUDY), STUDY, at(STUDY, 35), order=STUDY.menu.ids)
    assert [f.choice for f in found] == [f.choice for f in plain[2]]


def test_one_option_changes_nothing_else_of_an_answer():
    cell = at(STUDY, 35)
    plain = draw(SyntheticBackend(STUDY), STUDY, cell, runs=200)[2]
    for options in ({"refusal_rate": 0.3}, {"verbose": True}, {"subwords": True}):
        other = draw(SyntheticBackend(STUDY, **options), STUDY, cell, runs=200)[2]
        kept = [(p, o) for p, o in zip(plain, other, strict=True) if o.status == "ok"]
        assert len(kept) > 100
        assert all(p.choice == o.choice for p, o in kept)
        assert all(p.belief == pytest.approx(o.belief, abs=1e-5) for p, o in kept)


def test_verbose_answers_name_others_after_the_pivot_and_mean_nothing_by_it():
    backend = SyntheticBackend(STUDY, verbose=True)
    cell = at(STUDY, 35)
    answers = [backend.answer(asked(STUDY, cell, r)) for r in range(300)]
    names = [sum(a.label in answer.text for a in STUDY.menu) for answer in answers]
    assert np.mean([n > 1 for n in names]) > 0.4
    found = [extractor(STUDY)(answer) for answer in answers]
    assert not any(f.mismatch for f in found) and {f.status for f in found} == {"ok"}
    lengths = [len(a.tokens) - f.pivot_index for a, f in zip(answers, found, strict=True)]
    assert min(lengths) > 8


def test_preambles():
    cell = at(STUDY, 35)

    def pivots(**options):
        return {
            f.pivot_index
            for f in draw(SyntheticBackend(STUDY, hesitation=0, **options), STUDY, cell, 200)[2]
        }

    assert pivots() == {0, 3, 4}
    assert pivots(preambles="none") == {0}
    assert min(pivots(preambles="long")) >= 8
    assert pivots(preambles="mixed") == pivots() | pivots(preambles="long")
    assert pivots(preambles=[["Well", ","], ["So", " I", "'d", " buy", " the"]]) == {2, 5}
    texts = {
        SyntheticBackend(STUDY, preambles="long").answer(asked(STUDY, cell, r)).text
        for r in range(200)
    }
    assert any(t.startswith("Between Pampers and Huggies, I would go with") for t in texts)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 1.7])
def test_log_probabilities_before_the_temperature_temper_to_the_truth(temperature):
    sampling = replace(STUDY.sampling, temperature=temperature)
    backend = SyntheticBackend(STUDY, raw_logprobs=True, hesitation=0.1, unlisted=0.05)
    assert backend.raw_logprobs and not SyntheticBackend(STUDY).raw_logprobs
    cell, order = at(STUDY, 36), STUDY.menu.ids
    confirm(backend, STUDY, cell, order=order, sampling=sampling, temperature=temperature)
    # The listed mass is what it is said to be, and the sampled law that of T = 1.
    found = draw(backend, STUDY, cell, 50, temperature, order=order, sampling=sampling)[2]
    assert {round(f.tail_mass, 4) for f in found} == {0.05}
    law = SyntheticBackend(STUDY, hesitation=0.1, unlisted=0.05)
    plain = draw(law, STUDY, cell, 50, order=order)[2]
    assert [f.choice for f in found] == [f.choice for f in plain]
    assert all(
        f.belief == pytest.approx(p.belief, abs=1e-4) for f, p in zip(found, plain, strict=True)
    )
    if temperature != 1:
        untempered = draw(backend, STUDY, cell, 50, order=order, sampling=sampling)[0]
        assert np.abs(untempered - [p.belief for p in plain]).max() > 0.02


def test_without_raw_log_probabilities_the_temperature_changes_nothing():
    backend, cell = SyntheticBackend(STUDY), at(STUDY, 35)
    hot = asked(STUDY, cell, 0, sampling=replace(STUDY.sampling, temperature=2.0))
    assert backend.answer(hot) == backend.answer(asked(STUDY, cell, 0))


@pytest.mark.parametrize("top", [1, 2, 3])
def test_only_the_most_probable_candidates_are_listed(top):
    backend, cell = SyntheticBackend(STUDY), at(STUDY, 38)
    sampling = replace(STUDY.sampling, top_logprobs=top)
    for replicate in range(100):
        whole = backend.answer(asked(STUDY, cell, replicate))
        cut = backend.answer(asked(STUDY, cell, replicate, sampling=sampling))
        assert cut.text == whole.text
        for short, long in zip(cut.tokens, whole.tokens, strict=True):
            assert (short.data, short.logprob) == (long.data, long.logprob)
            ranked = sorted(zip(long.logprobs, long.candidates, strict=True), reverse=True)
            expected = {c for _, c in ranked[:top]}
            assert set(short.candidates) == expected
        short, long = extractor(STUDY)(cut), extractor(STUDY)(whole)
        inside = zip(short.lower, long.belief, short.upper, strict=True)
        assert all(lo - 1e-9 <= b <= hi + 1e-9 for lo, b, hi in inside)


def test_subwords_split_labels_and_the_first_piece_is_the_pivot():
    backend, cell = SyntheticBackend(STUDY, subwords=True, preambles="none"), at(STUDY, 34)
    spoken = {}
    for replicate in range(200):
        answer = backend.answer(asked(STUDY, cell, replicate))
        found = extractor(STUDY)(answer)
        words = tuple(t.data.decode() for t in answer.tokens)
        if found.pivot_index == 0:
            spoken[found.choice] = words
        assert found.pivot_token.strip().lower() in {"p", "h", "n"}
        assert not found.mismatch
    assert spoken["pampers"] == ("P", "amp", "ers", ".")
    assert spoken["neither"] == ("n", "eit", "her", ".")


@pytest.mark.parametrize(
    "labels",
    [("Pampers", "Pull-Ups", "none"), ("Coke Zero", "Coke", "nothing"), ("Apple", "Ape", "no")],
    ids=lambda labels: labels[0],
)
@pytest.mark.parametrize("subwords", [False, True])
def test_labels_that_begin_alike_are_parted_later_and_the_truth_stays(labels, subwords):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MenuWarning)
        study = study_of(labels)
    backend = SyntheticBackend(study, subwords=subwords, verbose=True, icc=0.2)
    cell = at(study, 35)
    found = confirm(backend, study, cell, order=study.menu.ids)
    # Where most of the mass is on a beginning that two labels share, little of it decides.
    assert {f.status for f in found} <= {"ok", "low_mass"}
    assert not any(f.mismatch for f in found)


def test_within_a_word_nobody_hesitates():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MenuWarning)
        study = study_of(("Pampers", "Pull-Ups", "none"))
    backend = SyntheticBackend(
        study, slope=-0.535, indifference=34.8, subwords=True, hesitation=0.2, unlisted=0.1
    )
    found = draw(backend, study, at(study, 35), runs=100)[2]
    later = [f for f in found if f.pivot_token == "amp"]
    assert len(later) > 10
    for f in later:
        masses = f.decided_mass, f.undecided_mass, f.tail_mass
        assert masses == pytest.approx((0.9, 0, 0.1), abs=1e-5)


def test_a_study_with_an_anchor_is_answered_after_it():
    study = study_of(["Pampers", "Huggies", "neither"], anchors=["Answer:"])
    backend = SyntheticBackend(study, preambles="mixed")
    assert "Answer: " in backend.answer(asked(study, study.cells()[0], 0)).text
    confirm(backend, study, at(study, 35), order=study.menu.ids)


def test_latency_delays_each_answer_by_its_seed_and_changes_none(monkeypatch):
    backend, plain = SyntheticBackend(STUDY, latency=0.02), SyntheticBackend(STUDY)
    assert backend.settings == plain.settings and backend.model == plain.model
    assert backend.traits.concurrency == 64
    requests = [asked(STUDY, STUDY.cells()[0], r) for r in range(200)]

    waits = []

    async def sleep(seconds):
        waits.append(seconds)

    async def everything():
        return [raw async for raw in backend.complete(requests)]

    monkeypatch.setattr(asyncio, "sleep", sleep)
    raws = asyncio.run(everything())
    assert raws == [to_compact(plain.answer(r)) for r in requests]
    assert min(waits) >= 0.01 and max(waits) <= 0.03 and len(set(waits)) == len(requests)
    assert np.mean(waits) == pytest.approx(0.02, rel=0.1)
    first, waits[:] = list(waits), []
    asyncio.run(everything())
    assert waits == first


def test_every_option_but_latency_is_in_the_settings_or_the_model():
    options = {
        "slope": -0.5350000001,
        "indifference": 34.8000000001,
        "icc": 0.0540000001,
        "outside": 0.3,
        "split_icc": 0.1,
        "order_effect": 0.1,
        "round_price_uptick": 0.1,
        "round_to": 2.0,
        "persona_sd": 1.0,
        "persona_slope_sd": 0.1,
        "persona_seed": 3,
        "rival_slope": 0.1,
        "constants": {"pampers": 18.0, "huggies": 16.0},
        "nests": {"rest": ("huggies", "neither")},
        "persona_constant_sd": 0.5,
        "persona_slope_law": "lognormal",
        "hesitation": 0.1,
        "unlisted": 0.1,
        "refusal_rate": 0.1,
        "no_pivot_rate": 0.1,
        "mismatch_rate": 0.1,
        "preambles": "long",
        "verbose": True,
        "subwords": True,
        "raw_logprobs": True,
        "stated_step": 1.0,
        "stated_sharpness": 2.0,
    }
    # Attributes are those of other studies: see tests/simulation/backends/known/test_worths.py.
    apart = {"dissimilarity", "latency", "part_worths"}
    assert {*options, *apart} == set(SyntheticBackend.__init__.__kwdefaults__)
    named = set()
    asked = [{}, *({option: value} for option, value in options.items() if option != "nests")]
    asked += [{"nests": options["nests"], "dissimilarity": d} for d in (0.5, 0.6)]
    for chosen in asked:
        backend = SyntheticBackend(STUDY, **chosen)
        named.add((backend.model, json.dumps(backend.settings)))
    assert len(named) == len(options) + 2
    plain = SyntheticBackend(STUDY)
    assert plain.model.startswith("known-truth consumer: logit p = -0.535 * (price - 34.8)")
    assert set(plain.settings) == {"outside", "focal", "menu"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"slope": math.nan}, "slope=nan"),
        ({"indifference": math.inf}, "indifference=inf"),
        ({"icc": 1}, "icc=1"),
        ({"icc": math.nan}, "icc=nan"),
        ({"outside": 1.5}, "outside=1.5"),
        ({"split_icc": 1.0}, "split_icc=1.0"),
        ({"split_icc": -0.1}, "split_icc=-0.1"),
        ({"order_effect": math.nan}, "order_effect=nan"),
        ({"order_effect": 1e4}, "order_effect=10000"),
        ({"round_price_uptick": math.inf}, "round_price_uptick=inf"),
        ({"round_to": 0}, "round_to=0"),
        ({"persona_sd": -1}, "persona_sd=-1"),
        ({"persona_slope_sd": -1}, "persona_slope_sd=-1"),
        ({"constants": {"pampers": 1.0, "huggies": 1.0}, "outside": 0.3}, "the ones or the others"),
        ({"constants": {"pampers": 1.0, "huggies": 1.0}, "indifference": 30.0}, "the ones or the"),
        ({"nests": {"brands": ["pampers", "hugies"]}, "dissimilarity": 0.5}, "mean 'huggies'"),
        ({"nests": {"brands": ["pampers", "huggies"]}}, "give dissimilarity too"),
        ({"dissimilarity": 0.5}, "give nests too"),
        ({"hesitation": -0.1}, "hesitation=-0.1"),
        ({"hesitation": 0.6, "unlisted": 0.4}, "sum is below 1"),
        ({"unlisted": math.nan}, "unlisted=nan"),
        ({"refusal_rate": -0.1}, "refusal_rate=-0.1"),
        ({"no_pivot_rate": math.nan}, "no_pivot_rate=nan"),
        ({"refusal_rate": 0.5, "mismatch_rate": 0.6}, "at most 1"),
        ({"latency": -1}, "latency=-1"),
        ({"latency": math.inf}, "latency=inf"),
        ({"preambles": "lng"}, "did you mean 'long'"),
        ({"preambles": []}, "at least one sequence"),
        ({"preambles": ["I choose"]}, "sequence of token texts"),
        ({"preambles": [["I", ""]]}, "none of them empty"),
        ({"preambles": [["Pampers", ":"]]}, "decides for 'pampers'"),
        ({"preambles": [["I", " would", " not", " buy"]]}, "'Pampers' does not decide"),
    ],
)
def test_impossible_values(options, message):
    with pytest.raises(UsageError) as raised:
        SyntheticBackend(STUDY, **options)
    assert message in str(raised.value).replace(" Pampers", "Pampers")


def test_extreme_prices_have_shares_of_nought_and_one():
    backend = SyntheticBackend(STUDY, slope=-50)
    study = study_of(["Pampers", "Huggies", "neither"])
    far = SyntheticBackend(study, slope=-50, indifference=32)
    assert backend.probability(1e6) == pytest.approx(0) and backend.probability(0) == 1
    assert {f.choice for f in draw(far, study, at(study, 30), 50)[2]} == {"a0"}
    assert "a0" not in {f.choice for f in draw(far, study, at(study, 35), 50)[2]}


def test_a_filler_that_begins_a_label_is_replaced():
    study = study_of(["Pampers", "Maybelline", "neither"])
    assert Wording(study, preambles="short").filler == ("Perhaps", " perhaps")


@settings(max_examples=60)
@given(
    price=st.sampled_from(range(30, 46)),
    replicate=st.integers(0, 10**6),
    icc=st.floats(0.01, 0.9),
    hesitation=st.floats(0, 0.6),
    unlisted=st.floats(0, 0.3),
    temperature=st.floats(0.3, 3),
    preambles=st.sampled_from(["short", "long", "mixed", "none"]),
    verbose=st.booleans(),
    subwords=st.booleans(),
    raw=st.booleans(),
)
def test_extraction_recovers_the_emitted_belief(
    price, replicate, icc, hesitation, unlisted, temperature, preambles, verbose, subwords, raw
):
    cell = at(STUDY, price)
    backend = SyntheticBackend(
        STUDY,
        icc=icc,
        hesitation=hesitation,
        unlisted=unlisted,
        preambles=preambles,
        verbose=verbose,
        subwords=subwords,
        raw_logprobs=raw,
    )
    sampling = replace(STUDY.sampling, temperature=temperature)
    request = asked(STUDY, cell, replicate, sampling=sampling)
    answer = backend.answer(request)
    found = extractor(STUDY, temperature=temperature if raw else 1.0)(answer)
    # The belief that was drawn, from the documented first draw of the run's generator.
    p, k = backend.probability(price), 1 / icc - 1
    drawn = np.random.default_rng(request.seed).beta(p * k, (1 - p) * k)
    assert found.status in ("ok", "low_mass")  # of little decided mass belief is still the truth
    assert sum(found.belief) == pytest.approx(1)
    assert found.belief[FOCAL] == pytest.approx(drawn, abs=1e-9)
    assert found.belief[RIVAL] == pytest.approx(0.8 * (1 - drawn), abs=1e-9)
    assert found.belief[NEITHER] == pytest.approx(0.2 * (1 - drawn), abs=1e-9)
    assert found.decided_mass + found.undecided_mass + found.tail_mass == pytest.approx(1)


def logit(p):
    return math.log(p / (1 - p))


def test_on_another_price_grid_the_same_shares_lie_at_the_same_places():
    # A rehearsal of any study should find demand, not a consumer who always buys.
    data = STUDY.to_dict()
    data["alternatives"][0]["price"] = {"start": 1.0, "stop": 2.5, "step": 0.1}
    dollars = Study.from_dict(data)
    there, here = SyntheticBackend(dollars), SyntheticBackend(STUDY)
    grids = zip(dollars.prices["pampers"], STUDY.prices["pampers"], strict=True)
    for price, cents in grids:
        assert there.probability(price) == pytest.approx(here.probability(cents))
    assert (
        SyntheticBackend(STUDY).model
        == SyntheticBackend(STUDY, slope=-0.535, indifference=34.8).model
    )


def test_a_rival_s_price_moves_the_focal_share_as_it_should():
    from dataclasses import replace

    study = replace(STUDY, prices={**STUDY.prices, "huggies": (26.0, 30.0, 34.0)})
    backend = SyntheticBackend(study, rival_slope=0.2)
    shares = {}
    for cell in study.cells():
        share = backend.truth(cell)[study.focal]
        shares[cell.prices[study.focal], cell.prices["huggies"]] = logit(share)
    for price in study.prices[study.focal]:
        assert shares[price, 30.0] == pytest.approx(logit(backend.probability(price)), abs=1e-9)
        assert shares[price, 34.0] - shares[price, 26.0] == pytest.approx(1.6, abs=1e-6)
    # At rest it renames no stored answer.
    assert "rival_slope" not in SyntheticBackend(study).settings
    assert backend.settings["rival_slope"] == 0.2


def test_the_division_of_the_rest_varies_as_much_as_asked_and_leaves_the_focal_alternative_alone():
    plain, varied = (
        simulate(STUDY, SyntheticBackend(STUDY, split_icc=icc), runs=100, seed=3).frame
        for icc in (0.0, 0.1)
    )
    np.testing.assert_allclose(plain["belief_pampers"], varied["belief_pampers"], rtol=2e-6)
    np.testing.assert_array_equal(plain["choice"] == "pampers", varied["choice"] == "pampers")
    rest = varied["belief_huggies"] + varied["belief_neither"]
    part = (varied["belief_huggies"] / rest).to_numpy(float)
    assert np.nanmean(part) == pytest.approx(0.8, abs=0.015)
    assert np.nanvar(part) == pytest.approx(0.1 * 0.8 * 0.2, rel=0.15)


VARYING = replace(STUDY, prices={**STUDY.prices, "huggies": (28.0, 30.0, 32.0)})
BRANDS = {"nests": {"brands": ["pampers", "huggies"]}, "dissimilarity": 0.4}


def test_a_rival_whose_price_varies_is_compared_by_default():
    backend = SyntheticBackend(VARYING)
    for cell in VARYING.cells()[::7]:
        confirm(backend, VARYING, cell, order=STUDY.menu.ids, runs=800)
        if cell.prices["huggies"] == 30.0:
            assert backend.truth(cell) == SyntheticBackend(STUDY).truth(cell)
    dear, cheap = (backend.truth({"pampers": 35.0, "huggies": price}) for price in (32.0, 28.0))
    assert all(dear[a] > cheap[a] for a in ("pampers", "neither"))
    # The log-odds of two alternatives move by the slope times the difference of their prices.
    moved = math.log(dear["pampers"] / dear["huggies"] * cheap["huggies"] / cheap["pampers"])
    assert moved == pytest.approx(0.535 * 4)
    # Another law has another name: no stored answer of the one stands for the other.
    assert backend.settings["usual_prices"] == {"huggies": 30.0}
    assert "rivals" in backend.model and "rivals" not in SyntheticBackend(STUDY).model


def test_a_market_at_rest_is_the_reconstruction_run_by_run():
    # One nest of dissimilarity 1 is the logit, with Dirichlet beliefs: of the focal alternative
    # every belief and every choice is the one of the published reconstruction.
    nested = SyntheticBackend(STUDY, nests={"rest": ["huggies", "neither"]}, dissimilarity=1.0)
    plain, market = (
        simulate(STUDY, b, runs=60, seed=3).frame for b in (SyntheticBackend(STUDY), nested)
    )
    np.testing.assert_allclose(plain["belief_pampers"], market["belief_pampers"], rtol=2e-6)
    np.testing.assert_array_equal(plain["choice"] == "pampers", market["choice"] == "pampers")
    part = market["belief_huggies"] / (market["belief_huggies"] + market["belief_neither"])
    assert part.mean() == pytest.approx(0.8, abs=0.02) and part.std() > 0.05


def test_the_intra_cell_correlation_is_that_of_every_alternative():
    cell = at(VARYING, 34)
    backend = SyntheticBackend(VARYING, icc=0.15)
    belief, _, _ = draw(backend, VARYING, cell, runs=4000, order=STUDY.menu.ids)
    shares = np.array(list(backend.truth(cell).values()))
    found = belief.var(axis=0) / (shares * (1 - shares))
    assert found == pytest.approx([0.15] * 3, rel=0.12)


@pytest.mark.parametrize(
    "options", [{}, {"constants": {"pampers": 18.6, "huggies": 15.8}}], ids=["default", "constants"]
)
def test_conditional_logit_recovers_the_consumer_s_price_and_elasticities(options):
    from llmdemand.modeling.models.demand import fit_demand

    backend = SyntheticBackend(VARYING, **options)
    panel = simulate(VARYING, backend, runs=30, seed=4)
    for outcome in ("belief", "choice"):
        fit = fit_demand(panel, outcome, model="clogit")
        assert abs(fit.params["price"] + 0.535) < 4 * fit.bse["price"]
        found = fit.elasticity({"pampers": 34.0, "huggies": 32.0}, kind="matrix").table
        truth = backend.elasticities({"pampers": 34.0, "huggies": 32.0})
        wanted = [truth[j][k] for j, k in zip(found["alternative"], found["rival"], strict=True)]
        assert (np.abs(found["estimate"] - wanted) < 4 * found["se"]).all(), outcome
        assert found["se"].max() < 1


def test_answers_show_the_diversion_of_the_nests():
    # Of what Pampers loses between two prices, how much goes to Huggies: by mean beliefs.
    def diverted(backend):
        high, low = (
            draw(backend, STUDY, at(STUDY, p), runs=2500, order=STUDY.menu.ids)[0].mean(axis=0)
            for p in (34, 36)
        )
        true = [np.array(list(backend.truth(at(STUDY, p)).values())) for p in (34, 36)]
        of = [-(b - a)[RIVAL] / (b - a)[FOCAL] for a, b in ((high, low), true)]
        assert of[0] == pytest.approx(of[1], abs=0.03)
        return of[1]

    logit_like, nested = (
        diverted(SyntheticBackend(STUDY)),
        diverted(SyntheticBackend(STUDY, **BRANDS)),
    )
    assert logit_like == pytest.approx(0.8) and nested > 0.85


def test_market_answers_do_not_depend_on_concurrency_or_company():
    backend = SyntheticBackend(VARYING, persona_constant_sd=0.5, **BRANDS)
    whole = simulate(VARYING, backend, runs=3, seed=2).frame.set_index("run_id")
    slow = SyntheticBackend(VARYING, persona_constant_sd=0.5, latency=1e-4, **BRANDS)
    assert slow.settings == backend.settings
    other = simulate(VARYING, slow, runs=3, seed=2, concurrency=16).frame.set_index("run_id")
    columns = [c for c in whole if c.startswith("belief_") or c == "choice"]
    assert other.loc[whole.index, columns].equals(whole[columns])
    alone = replace(VARYING, points=5)
    few = simulate(alone, backend, runs=2, seed=2).frame
    assert few.set_index("run_id")[columns].equals(whole.loc[few["run_id"], columns])


def test_prices_are_asked_by_the_alternatives_that_have_one():
    backend = SyntheticBackend(STUDY)
    assert backend.truth({"pampers": 35.0}) == backend.truth(at(STUDY, 35))
    for wrong in ({"huggies": 30.0}, {"pampers": 35.0, "neither": 1.0}):
        with pytest.raises(UsageError, match="give that of pampers, and of huggies"):
            backend.truth(wrong)
