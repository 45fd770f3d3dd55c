"""What users have on disk, in the forms in which servers write it."""

import json
import math

import pytest

from llmdemand import extract_panel, load_study
from llmdemand.belief.extract import extract
from llmdemand.belief.files import read_answers
from llmdemand.belief.readers import compact, read_response, to_compact
from llmdemand.belief.tokens import Response, Token
from llmdemand.core.menu import Menu
from llmdemand.errors import ResponseError

STUDY = load_study("pampers")
MENU = Menu.of("Pampers", "Huggies")


def entry(token, logprob, listed=(), *, with_bytes=True, **more):
    made = {"token": token, "logprob": logprob, **more}
    if with_bytes:
        made["bytes"] = list(token.encode())
    made["top_logprobs"] = [entry(t, v, with_bytes=with_bytes) for t, v in listed]
    return made


LISTED = [(" H", math.log(0.6)), (" P", math.log(0.3))]
H = entry(" H", math.log(0.6), LISTED)


def responses_object(*blocks, status="completed", reason=None):
    return {
        "object": "response",
        "status": status,
        "incomplete_details": {"reason": reason} if reason else None,
        "model": "gpt-x",
        "usage": {"input_tokens": 5, "output_tokens": 3},
        "output": [
            {"type": "reasoning", "summary": []},
            *({"type": "message", "role": "assistant", "content": [b]} for b in blocks),
        ],
    }


def output_text(text, logprobs):
    return {"type": "output_text", "text": text, "logprobs": logprobs, "annotations": []}


def test_chat_completions_as_object_and_as_sdk_model(complete):
    from openai.types.chat import ChatCompletion

    raw = complete(" Huggies", [(" H", math.log(0.6), dict(LISTED)), ("uggies", -0.01, {})])
    for made in (raw, ChatCompletion.model_validate(raw)):
        found = extract(read_response(made), MENU)
        assert found.choice == "huggies"
        assert found.belief == pytest.approx((1 / 3, 2 / 3))


def test_responses_with_several_blocks_are_one_answer():
    raw = responses_object(
        output_text(
            "I choose",
            [entry("I", -0.1, [("I", -0.1)]), entry(" choose", -0.1, [(" choose", -0.1)])],
        ),
        output_text(" Huggies", [H, entry("uggies", -0.01, [("uggies", -0.01)])]),
    )
    response = read_response(raw)
    assert response.text == "I choose Huggies"
    assert response.usage["prompt_tokens"] == 5
    found = extract(response, MENU)
    assert (found.choice, found.pivot_index) == ("huggies", 2)


def test_responses_that_refuse_or_are_cut():
    refused = responses_object({"type": "refusal", "refusal": "No."})
    assert extract(read_response(refused), MENU).status == "refusal"
    cut = responses_object(
        output_text("Well", [entry("Well", -0.1, [("Well", -0.1)])]), reason="max_output_tokens"
    )
    assert read_response(cut).finish_reason == "length"
    silent = responses_object(output_text("Huggies", []))
    assert extract(read_response(silent), MENU).status == "no_logprobs"


@pytest.mark.parametrize("glyph", ["\u0120", "\u2581"])
def test_glyphs_of_vocabularies_are_spaces(glyph, complete):
    raw = complete("I Huggies", [])
    raw["choices"][0]["logprobs"]["content"] = [
        entry("I", -0.1, [("I", -0.1)], with_bytes=False),
        entry(
            f"{glyph}H",
            math.log(0.6),
            [(f"{glyph}H", math.log(0.6)), (f"{glyph}P", math.log(0.3))],
            with_bytes=False,
        ),
        entry("uggies", -0.1, [("uggies", -0.1)], with_bytes=False),
    ]
    found = extract(read_response(raw), MENU)
    assert (found.choice, found.pivot_token) == ("huggies", " H")
    assert found.belief == pytest.approx((1 / 3, 2 / 3))


def test_a_glyph_that_the_answer_contains_is_a_character(complete):
    raw = complete("\u0120orizia", [])
    raw["choices"][0]["logprobs"]["content"] = [entry("\u0120", -0.1, with_bytes=False)]
    assert read_response(raw).tokens[0].data == "\u0120".encode()


def test_llama_cpp_native_completions():
    raw = {
        "content": " Huggies",
        "stop_type": "limit",
        "tokens_evaluated": 9,
        "tokens_predicted": 2,
        "completion_probabilities": [H, entry("uggies", -0.01, [("uggies", -0.01)])],
    }
    response = read_response(raw)
    assert (response.finish_reason, response.usage["prompt_tokens"]) == ("length", 9)
    assert extract(response, MENU).belief == pytest.approx((1 / 3, 2 / 3))


def test_the_short_form_survives_a_round_trip():
    data = "帮".encode()
    tokens = (
        Token(data[:2], -0.5, (data[:2], b" H"), (-0.5, -1.25)),
        Token(data[2:], -0.25, (data[2:],), (-0.25,)),
        Token(b"", math.nan, (), ()),
    )
    made = Response(tokens, "帮", "length", None, "m", {"prompt_tokens": 3})
    back = compact(json.loads(json.dumps(to_compact(made))))
    assert back.tokens[:2] == tokens[:2] and math.isnan(back.tokens[2].logprob)
    assert (back.text, back.finish_reason, back.model) == ("帮", "length", "m")


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ({}, "no known form"),
        ([], "found list"),
        ({"choices": 3}, "choices\\[0\\]"),
        ({"choices": {}}, "choices\\[0\\]"),
        (
            {"choices": [{"message": {"content": "x"}, "logprobs": {"content": [{"token": 1}]}}]},
            "token",
        ),
        (
            {
                "choices": [
                    {
                        "message": {"content": "x"},
                        "logprobs": {"content": [{"token": "x", "logprob": "low"}]},
                    }
                ]
            },
            r"content\[0\].logprob",
        ),
        ({"output": [{"type": "message"}]}, "content"),
        ({"tokens": [["a"]], "text": "a"}, r"tokens\[0\]"),
        ({"completion_probabilities": []}, "content"),
    ],
)
def test_malformed_responses_name_the_field(raw, message):
    with pytest.raises(ResponseError, match=message):
        read_response(raw)


def lines(path, *entries):
    path.write_text("".join(json.dumps(e) + "\n" for e in entries), encoding="utf-8")
    return path


def test_stores_and_batches_give_the_same_rows(tmp_path, complete):
    raw = complete(" Huggies", [(" H", math.log(0.6), dict(LISTED))])
    store = lines(tmp_path / "a.jsonl", {"key": "k", "run_id": "3-1", "raw": raw})
    batch = lines(
        tmp_path / "b.jsonl",
        {"custom_id": "pampers-3-1", "response": {"status_code": 200, "body": raw}, "error": None},
    )
    plain = lines(tmp_path / "c.jsonl", {"custom_id": "3-1", **raw})
    frames = [extract_panel(STUDY, read_answers(p, STUDY)).frame for p in (store, batch, plain)]
    row = frames[0].iloc[0]
    assert (row["cell"], row["replicate"], row["price_pampers"]) == (3, 1, 33.0)
    assert row["belief_huggies"] == pytest.approx(2 / 3)
    for other in frames[1:]:
        assert other.equals(frames[0])


def test_an_order_in_the_line_is_kept(tmp_path, complete):
    raw = {"run_id": "3-1", "raw": complete("Huggies"), "order": "huggies>pampers>neither"}
    panel = extract_panel(STUDY, read_answers(lines(tmp_path / "a.jsonl", raw), STUDY))
    assert panel.frame["order"].tolist() == ["huggies>pampers>neither"]


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"raw": {}}, "line 2: field 'run_id' or 'custom_id' is None"),
        ({"run_id": "x", "raw": {}}, "expected '<cell>-<replicate>'"),
        ({"run_id": "99-0", "raw": {}}, "has no cell 99: it has 16 points"),
        ({"run_id": "0-0", "raw": {}}, "line 2: no known form"),
        ({"run_id": "0-0", "raw": {"text": "", "tokens": []}, "order": "a"}, "field 'order'"),
        ("hello", "line 2: no known form .* got `str`"),
    ],
)
def test_a_malformed_line_is_named(tmp_path, entry, message):
    good = {"run_id": "0-1", "raw": {"text": "", "tokens": []}}
    with pytest.raises(ResponseError, match=message):
        list(read_answers(lines(tmp_path / "a.jsonl", good, entry), STUDY))


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        (
            {"response": {"status_code": 429, "body": {"error": {"message": "slow down"}}}},
            "status 429: {'message': 'slow down'}",
        ),
        ({"response": {"status_code": 500, "body": None}}, "status 500"),
        ({"response": None, "error": {"code": "batch_expired"}}, "batch_expired"),
        ({"error": {"code": 400, "message": "no model"}}, "no model"),
        ({"status": "Bad Request: prompt", "response": {}}, "Bad Request: prompt"),
        ({"raw": {"error": {"message": "overloaded"}}}, "overloaded"),
    ],
)
def test_a_failed_request_is_a_row_and_not_the_end_of_the_file(tmp_path, entry, reason):
    good = {"run_id": "0-1", "raw": {"text": "Huggies", "tokens": []}}
    path = lines(tmp_path / "a.jsonl", {"custom_id": "0-0", **entry}, good)
    frame = extract_panel(STUDY, read_answers(path, STUDY)).frame
    assert frame["status"].tolist() == ["failed", "no_logprobs"]
    assert frame["reason"].tolist() == [reason, ""]


def test_missing_empty_and_cut_files(tmp_path):
    with pytest.raises(ResponseError, match="no file at"):
        list(read_answers(tmp_path / "absent.jsonl", STUDY))
    empty = tmp_path / "empty.jsonl"
    empty.write_text("", encoding="utf-8")
    with pytest.raises(ResponseError, match="is empty"):
        list(read_answers(empty, STUDY))
    empty.write_text('{"run_id": "0-0", "raw"', encoding="utf-8")
    with pytest.raises(ResponseError, match="line 1: no JSON"):
        list(read_answers(empty, STUDY))


def test_extracting_from_the_store_gives_the_panel_that_was_simulated(tmp_path):
    import pandas as pd

    from llmdemand import simulate
    from llmdemand.simulation.backends.recorded import stored_answers
    from llmdemand.simulation.storing.store import Store

    path, lines = tmp_path / "responses.sqlite", tmp_path / "responses.jsonl"
    panel = simulate(STUDY, "synthetic", runs=3, seed=2, store=path)
    with Store(path) as store:
        lines.write_text(
            "".join(json.dumps(entry) + "\n" for entry in store.export()), encoding="utf-8"
        )
    for answers in (
        stored_answers(path, STUDY),
        read_answers(lines, STUDY, backend="synthetic"),
    ):
        again = extract_panel(STUDY, answers).frame.sort_values(["cell", "replicate"])
        pd.testing.assert_frame_equal(again.reset_index(drop=True), panel.frame)
    with pytest.raises(ResponseError, match="is a response store"):
        list(read_answers(path, STUDY))


def test_the_old_completions_form_keeps_its_log_probabilities():
    raw = {
        "model": "m",
        "choices": [
            {
                "text": " Huggies",
                "finish_reason": "stop",
                "logprobs": {
                    "tokens": [" H", "uggies"],
                    "token_logprobs": [math.log(0.6), -0.01],
                    "top_logprobs": [dict(LISTED), {"uggies": -0.01}],
                },
            }
        ],
    }
    assert extract(read_response(raw), MENU).belief == pytest.approx((1 / 3, 2 / 3))


def test_several_choices_in_one_object_are_refused(complete):
    raw = complete("A")
    raw["choices"] *= 2
    with pytest.raises(ResponseError, match=r"^this object holds 2 choices"):
        read_response(raw)


@pytest.mark.parametrize(
    "raw",
    [
        {"text": None, "tokens": []},
        {"text": 5, "tokens": []},
        {"text": "a", "tokens": [], "usage": [1]},
        {"content": 5, "completion_probabilities": []},
    ],
)
def test_fields_of_another_type_are_an_error_and_no_crash(tmp_path, raw):
    path = lines(tmp_path / "a.jsonl", {"run_id": "0-0", "raw": raw})
    with pytest.raises(ResponseError, match="line 1"):
        list(read_answers(path, STUDY))


def test_blank_lines_are_passed_over_and_halves_of_characters_survive(tmp_path):
    path = tmp_path / "a.jsonl"
    raw = {"run_id": "0-0", "raw": {"text": "\ud800", "tokens": [["\ud800", -0.1, []]]}}
    path.write_text(json.dumps(raw) + "\n\n", encoding="utf-8")
    panel = extract_panel(STUDY, read_answers(path, STUDY))
    panel.write(tmp_path / "panel.parquet")
    assert len(panel) == 1
    path.write_text("[" * 100_000 + "\n", encoding="utf-8")
    with pytest.raises(ResponseError, match="line 1"):
        list(read_answers(path, STUDY))


def test_an_answer_without_choices_is_an_empty_answer():
    assert extract(read_response({"choices": [], "model": "m"}), MENU).status == "no_output"


@pytest.mark.parametrize(
    ("text", "reason", "status", "choice"),
    [
        ("I would take Huggies, not Pampers.", "stop", "no_logprobs", "huggies"),
        ("Please, anything.", "stop", "no_logprobs", None),
        ("I'm sorry, I can't help with that.", "stop", "refusal", None),
        ("", "content_filter", "refusal", None),
        ("  ", "stop", "no_output", None),
    ],
)
def test_without_log_probabilities_the_choice_is_read_from_the_words(text, reason, status, choice):
    found = extract(Response((), text, reason), MENU)
    assert (found.status, found.choice) == (status, choice)
    assert all(math.isnan(b) for b in found.belief)


def test_of_an_answer_stopped_at_its_pivot_no_mismatch_is_known():
    token = Token.of(" H", -0.2, {" H": -0.2, " P": -2.0})
    cut = extract(Response((token,), " H", "pivot"), MENU)
    assert (cut.choice, cut.final, cut.mismatch) == ("huggies", None, None)
    ended = extract(Response((token,), " H", "stop"), MENU)
    assert ended.mismatch is True  # "H" and nothing more is not the name


def test_thoughts_are_read_with_every_forced_answer():
    answer = to_compact(Response((Token.of(" H", -0.2, {" H": -0.2, " P": -2.0}),), " H"))
    raw = {"thoughts": [{"thought": "t", "answer": answer}] * 3, "usage": {"prompt_tokens": 9}}
    found = read_response(raw)
    assert len(found.forced) == 3 and found.usage["prompt_tokens"] == 9
    with pytest.raises(ResponseError, match="run of thoughts"):
        read_response({"thoughts": []})
