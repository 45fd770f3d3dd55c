"""The hand-labelled answers, the four rules, and what a wrong pivot costs."""

import json
import runpy
from dataclasses import replace

import pytest

from llmdemand.core.resources import data_file
from llmdemand.errors import DesignError, MenuError, UsageError
from llmdemand.lab.cases import Case, load_cases
from llmdemand.lab.experiments.pivots import pivots
from llmdemand.lab.rules import RULES, extractor, first_mention, last_mention, matches_answer

CASES = {case.id: case for case in load_cases()}


def test_fifty_domains_with_labels_that_point_at_tokens():
    assert len(CASES) == 50 and len({c.domain for c in CASES.values()}) >= 48
    for case in CASES.values():
        tokens = case.response().tokens
        assert -1 <= case.pivot < len(tokens)
        assert (case.pivot < 0) == (case.choice is None)
        for token in tokens:
            assert token.data in token.candidates
    assert sum(c.choice is None for c in CASES.values()) == 2


def test_the_file_is_what_its_maker_writes():
    path = data_file("pivots", "prompts.jsonl")
    lines = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    made = runpy.run_path(str(data_file("pivots", "make_prompts.py")))["CASES"]
    assert lines == [json.loads(json.dumps(case.to_dict())) for case in made]
    assert all(Case.from_dict(line).to_dict() == line for line in lines)


def test_candidates_follow_the_shares_of_paths():
    case = CASES["01-diapers"]
    token = case.response().tokens[case.pivot]
    listed = dict(zip(token.candidates, token.logprobs, strict=True))
    import math

    ratio = math.exp(listed[b" Hug"] - listed[b" Pam"])
    assert ratio == pytest.approx(0.58 / 0.36)
    assert sum(map(math.exp, listed.values())) == pytest.approx(0.99)


def test_rules_differ_where_they_should():
    case = CASES["03-toothpaste"]
    response = case.response()
    assert first_mention(case, response, "crest")[:2] == (1, "colgate")
    assert last_mention(case, response, "crest")[1] == "colgate"
    assert matches_answer(case, response, "crest")[:2] == (4, "crest")
    index, choice, belief = extractor(case, response, None)
    assert (index, choice) == (case.pivot, case.choice)
    assert belief[case.menu.index("crest")] == pytest.approx(0.55)
    refusal = CASES["36-rentals"]
    assert extractor(refusal, refusal.response(), None) == (-1, None, None)


def test_a_right_pivot_is_unbiased_and_a_wrong_one_is_not():
    found = pivots([CASES["01-diapers"], CASES["03-toothpaste"]], runs=300)
    rows = found.answers.set_index("id")
    ours = rows.loc["03-toothpaste"]
    assert abs(ours["bias extractor"]) < 4 * ours["bias_se extractor"] + 1e-9
    assert ours["bias first mention"] < -0.3
    assert ours["variance extractor"] < 0.3


def test_accuracy_is_counted_and_the_verdict_follows_it():
    plain = [CASES[k] for k in CASES if k[:2] in ("03", "06", "14", "37", "20", "46")]
    found = pivots(plain * 2, runs=2)
    t = found.accuracy.set_index("rule")
    assert t.loc["extractor", "right"] == 12
    assert found.holds == (found.pvalue < 0.05 and t["right"].drop("extractor").max() < 12)
    # Labels that nothing can find: the verdict says so and names the difficulties.
    spoilt = [
        replace(
            case,
            paths=(
                replace(case.paths[0], pivot=0, tokens=("x", *case.paths[0].tokens)),
                *case.paths[1:],
            ),
        )
        for case in plain
    ]
    flipped = pivots(spoilt, runs=2)
    assert not flipped.holds and "NOT shown" in flipped.verdict
    assert plain[0].feature in flipped.verdict


def test_the_shipped_answers_as_measured():
    """Not a target: these are the failures that the README names. A change belongs there too."""
    found = pivots(runs=2)
    wrong = found.answers.loc[~found.answers["right extractor"], "id"]
    assert [w[:2] for w in wrong] == ["09", "22", "23", "30", "34", "41", "48"]
    t = found.accuracy.set_index("rule")["right"]
    assert t.to_dict() == dict(zip(RULES, (43, 26, 39, 42), strict=True))


def test_seeds_and_impossible_arguments():
    one, again, other = (
        pivots([CASES["01-diapers"]], runs=20, seed=s).answers["bias extractor"].iloc[0]
        for s in (1, 1, 2)
    )
    assert one == again != other
    for bad in ({"runs": 1}, {"noise": -1.0}, {"cases": []}, {"seed": -1}):
        with pytest.raises(UsageError):
            pivots(**bad)
    case = CASES["01-diapers"]
    with pytest.raises(DesignError, match="sum to"):
        replace(case, paths=case.paths[:1])
    with pytest.raises(MenuError):
        replace(case, paths=(replace(case.paths[0], alternative="luvs", share=1.0),))


def test_progress_and_question_order_do_not_matter():
    told = []
    both = pivots([CASES["01-diapers"], CASES["02-soft-drinks"]], runs=5, progress=told.append)
    assert told == [0.5, 1.0]
    alone = pivots([CASES["01-diapers"]], runs=5)
    assert alone.answers["bias extractor"].iloc[0] == both.answers["bias extractor"].iloc[0]
