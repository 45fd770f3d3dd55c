"""Answers that repeat themselves are read once, and say what they say when each is read."""

import json

import pandas as pd
import pytest

from llmdemand import extract_file, extract_panel, load_study, read_answers
from llmdemand.belief.files import answers, repeats
from llmdemand.belief.files.answers import answer_of
from llmdemand.errors import ResponseError

STUDY = load_study("pampers")


def raw(k):
    listed = [[" Huggies", -0.5], [" Pampers", -1.0 - k / 8]]
    tokens = [["I", -0.1, [["I", -0.1]]], [" Huggies", -0.5, listed]]
    return {"text": "I Huggies", "tokens": tokens, **({"redacted": 1} if k == 3 else {})}


def written(path, count, different):
    lines = [{"run_id": f"{k % 16}-{k // 16}", "raw": raw(k % different)} for k in range(count)]
    # Of one that is there already: another order, another form around it, its run in another field.
    lines[-3] |= {"order": "neither>huggies>pampers"}
    lines[-2] = {"key": lines[-2]["run_id"], "raw": lines[-2]["raw"]}
    lines[-1] = {"custom_id": lines[-1]["run_id"], "response": {"body": lines[-1]["raw"]}}
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    return lines


@pytest.mark.parametrize("different", [5, 1000])
def test_rows_are_those_of_answers_that_are_read_one_by_one(tmp_path, monkeypatch, different):
    path, looked = tmp_path / "a.jsonl", []
    lines = written(path, 500, different)
    one_by_one = extract_panel(STUDY, (answer_of(line, STUDY) for line in lines))
    read = answers._response
    monkeypatch.setattr(answers, "_response", lambda *given: looked.append(1) or read(*given))
    found = extract_file(path, STUDY)
    pd.testing.assert_frame_equal(found.frame, one_by_one.frame, check_exact=True)
    assert len(looked) == (6 if different == 5 else 500)
    assert (found.frame["reason"] != "").sum() == (100 if different == 5 else 1)


def test_what_differs_in_one_digit_is_another_answer(tmp_path):
    path = tmp_path / "a.jsonl"
    written(path, 100, 2)
    found = extract_file(path, STUDY).frame["belief_pampers"]
    assert found.nunique() == 2 and (found[::2].nunique(), found[1::2].nunique()) == (1, 1)


def test_a_line_that_cannot_be_read_is_named_among_repeats_and_never_taken_for_one(tmp_path):
    path = tmp_path / "a.jsonl"
    lines = written(path, 100, 2)
    for wrong in ({"run_id": "99-0", "raw": raw(0)}, {"run_id": "0-1", "raw": {"a": 1}}):
        told = [*lines[:60], wrong, wrong, *lines[60:]]
        path.write_text("".join(f"{json.dumps(line)}\n" for line in told))
        with pytest.raises(ResponseError, match="line 61: "):
            extract_file(path, STUDY)


def test_no_more_is_held_than_may_be_and_nothing_where_nothing_repeats(tmp_path, monkeypatch):
    path, made = tmp_path / "a.jsonl", []

    class Seen(repeats.Repeats):
        def __init__(self):
            super().__init__()
            made.append(self)

    monkeypatch.setattr(answers, "Repeats", Seen)
    written(path, 300, 1000)
    list(read_answers(path, STUDY))
    assert not made[0].on and not made[0]._known
    monkeypatch.setattr(repeats, "_MOST", 200)
    written(path, 90, 5)
    again = [answer.again for answer in read_answers(path, STUDY)]
    assert 16 <= sum(again) < 60
