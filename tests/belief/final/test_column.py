import pytest

import llmdemand as ld
from llmdemand.belief.rows import Answer, extract_panel
from llmdemand.belief.tokens import Response, Token
from llmdemand.core.panel import Panel
from llmdemand.errors import PanelError

STUDY = ld.load_study("pampers")


def panel_of(*responses):
    cell = STUDY.cells()[5]
    order = ("pampers", "huggies", "neither")
    return extract_panel(STUDY, [Answer(cell, k, order, r) for k, r in enumerate(responses)])


def said(text, finish_reason="stop"):
    words = text.split(" ")
    pieces = [words[0], *(f" {w}" for w in words[1:])]
    return Response(tuple(Token.of(p, -0.1, {p: -0.1}) for p in pieces), text, finish_reason)


def row(response):
    return panel_of(response).frame.iloc[0]


def test_the_final_choice_is_that_of_the_whole_answer():
    found = row(said("Pampers are too expensive. I'd buy Huggies."))
    assert (found["choice"], found["final_choice"]) == ("pampers", "huggies")
    assert (found["final_status"], found["mismatch"]) == ("read", True)
    # The cheaper one, by the prices of its cell: 35 and 30 cents.
    assert row(said("I'd take the cheaper one."))["final_choice"] == "huggies"


def test_unread_and_stopped_answers_are_told_apart_and_match_nothing():
    frame = panel_of(said("Pampers or Huggies? Hard to say."), said("I'd take Pam", "pivot")).frame
    assert list(frame["final_status"]) == ["unread", "stopped"]
    assert frame["mismatch"].isna().all() and frame["final_choice"].isna().all()


def test_answers_without_a_pivot_have_a_final_choice():
    found = row(Response((), "Let us have the Huggies, I'd say: Huggies."))
    assert (found["status"], found["final_choice"]) == ("no_logprobs", "huggies")


def test_a_panel_says_who_read_it_and_survives_the_disk(tmp_path):
    panel = panel_of(said("I'd take Huggies."), said("Hm."))
    assert panel.provenance["final_reader"] == "rules"
    panel.write(tmp_path / "p.parquet")
    assert list(Panel.read(tmp_path / "p.parquet").frame["final_status"]) == ["read", "unread"]


def test_panels_of_earlier_versions_are_read(tmp_path):
    panel = panel_of(said("I'd take Huggies."), said("Huggies, or not."), said("Pampers", "pivot"))
    frame = panel.frame.drop(columns="final_status").assign(
        final_choice=["huggies", None, None], mismatch=[False, True, None]
    )
    old = object.__new__(Panel)
    for name, value in (("frame", frame), ("study", STUDY), ("provenance", {})):
        object.__setattr__(old, name, value)
    old.write(tmp_path / "old.parquet")
    read = Panel.read(tmp_path / "old.parquet")
    assert read.provenance["final_reader"] == "automaton"
    found = read.frame
    assert list(found["final_status"]) == ["read", "unread", "stopped"]
    assert list(found["mismatch"].isna()) == [False, True, True]


def test_a_final_choice_and_its_status_must_agree():
    panel = panel_of(said("I'd take Huggies."))
    with pytest.raises(PanelError, match="final_choice is not one of"):
        Panel(panel.frame.assign(final_status="unread"), STUDY)
    with pytest.raises(PanelError, match="final_status is not one of"):
        Panel(panel.frame.assign(final_status="maybe"), STUDY)
