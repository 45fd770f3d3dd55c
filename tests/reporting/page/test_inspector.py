import math

import pytest

from llmdemand import SyntheticBackend, load_study, simulate, stored_answers
from llmdemand.belief.tokens import Response, Token
from llmdemand.core.panel import Panel
from llmdemand.errors import UsageError
from llmdemand.reporting.page.answers import answers_of, visible
from llmdemand.reporting.page.inspector import inspected, sample


@pytest.fixture(scope="module")
def asked(tmp_path_factory):
    """A panel with preambles, split labels and refusals, and its responses."""
    study = load_study("pampers")
    store = tmp_path_factory.mktemp("store") / "responses.sqlite"
    backend = SyntheticBackend(
        study,
        refusal_rate=0.06,
        no_pivot_rate=0.06,
        mismatch_rate=0.06,
        verbose=True,
        preambles="mixed",
        subwords=True,
    )
    panel = simulate(study, backend, runs=12, seed=3, store=store)
    answers = stored_answers(store, study)
    return panel, {f"{a.cell.index}-{a.replicate}": a.response for a in answers}


def unread(panel, text):
    """The first row with another text, in which there is no pivot."""
    frame = panel.frame.head(1).assign(
        text=text, pivot_index=-1, pivot_token="", status="no_pivot", choice=None
    )
    frame[[c for c in frame if c.startswith(("belief_", "lo_", "hi_"))]] = float("nan")
    return Panel(frame, panel.study, panel.provenance), frame["run_id"].iloc[0]


def before(answer):
    return "".join(piece.text for piece in answer.pieces[: answer.pivot])


def test_the_sample_is_equal_by_price_seeded_and_no_matter_of_row_order(asked):
    panel, _ = asked
    shown = sample(panel, 60, seed=1)
    assert len(shown) == 60 and set(shown["price_pampers"].value_counts()) == {3, 4}
    mixed = panel.frame.sample(frac=1, random_state=4, ignore_index=True)
    again = sample(Panel(mixed, panel.study, panel.provenance), 60, seed=1)
    assert list(again["run_id"]) == list(shown["run_id"])
    assert list(sample(panel, 60, seed=2)["run_id"]) != list(shown["run_id"])
    assert len(sample(panel, 1000)) == len(panel) and sample(panel, 0).empty
    with pytest.raises(UsageError, match="not negative"):
        sample(panel, -1)


def test_tokens_pivots_and_candidates_are_those_of_the_response(asked):
    panel, responses = asked
    rows = panel.frame.set_index("run_id")
    for answer in inspected(panel, responses):
        row = rows.loc[answer.run_id]
        assert answer.tokens and "".join(p.text for p in answer.pieces) == row["text"]
        assert answer.pivot == row["pivot_index"]
        if answer.pivot < 0:
            assert not answer.belief and not answer.masses
            continue
        pivot = answer.pieces[answer.pivot]
        assert pivot.text == row["pivot_token"]
        # The candidates' probabilities by what they settle are the panel's belief.
        mass = {
            a: sum(c.probability for c in pivot.candidates if c.alternative == a)
            for a in panel.study.menu.ids
        }
        decided = sum(mass.values())
        assert decided == pytest.approx(row["decided_mass"])
        for alternative, belief, low, high in answer.belief:
            assert belief == pytest.approx(mass[alternative] / decided)
            assert low <= belief <= high
        assert answer.choice == next(
            c.alternative for c in pivot.candidates if c.text == pivot.text
        )
        assert answer.mismatch == row["mismatch"]


def test_without_responses_the_pivot_is_marked_where_it_was(asked):
    panel, responses = asked
    known = {a.run_id: a for a in inspected(panel, responses)}
    placed = 0
    for answer in inspected(panel):
        assert not answer.tokens
        assert "".join(p.text for p in answer.pieces) == "".join(
            p.text for p in known[answer.run_id].pieces
        )
        if answer.pivot >= 0:
            placed += 1
            assert before(answer) == before(known[answer.run_id])
    assert placed == sum(a.pivot >= 0 for a in known.values())


def test_a_response_of_another_run_under_the_same_id_is_not_taken(asked):
    panel, responses = asked
    shifted = dict(
        zip(responses, [*list(responses.values())[7:], *list(responses.values())[:7]], strict=True)
    )
    for answer in inspected(panel, shifted):
        text = panel.frame.set_index("run_id").loc[answer.run_id, "text"]
        assert "".join(p.text for p in answer.pieces) == text
        assert not answer.tokens or shifted[answer.run_id].text == text


def test_long_answers_are_cut_and_the_cut_is_counted(asked):
    panel, _ = asked
    text = "word " * 400
    tokens = tuple(Token.of("word ", math.log(0.5)) for _ in range(400))
    one, run = unread(panel, text)
    (answer,) = inspected(one, {run: Response(tokens, text)})
    assert len(answer.pieces) + answer.more == 400 and answer.more > 0
    assert answer.pieces[0].probability == pytest.approx(0.5)


def test_broken_bytes_and_markup_are_shown_and_not_run(asked):
    panel, _ = asked
    data = "</script><b>\u00e9".encode()
    tokens = (Token(data[:-1], -0.1), Token(data[-1:], -0.1))
    one, run = unread(panel, data.decode())
    found = answers_of(one, {run: Response(tokens, data.decode())})
    assert "<" not in found["tokens_json"] and "\\\\xc3" in found["tokens_json"]
    assert visible(" a\n") == "\u2423a\\n"


def test_filters_offer_what_the_sample_has(asked):
    panel, responses = asked
    found = answers_of(panel, responses)
    offered = {f["key"]: {value for value, _ in f["options"]} for f in found["filters"]}
    for key, values in offered.items():
        assert values == {answer[key] for answer in found["answers"]} - {""}
    assert len(offered["price"]) == 16 and {"ok", "refusal"} <= offered["status"]
    empty = answers_of(Panel(panel.frame.iloc[:0], panel.study), None)
    assert empty["answers"] == [] and "no answers" in empty["shown"]["intro"]
