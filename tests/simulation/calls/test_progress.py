"""What a run shows while it lasts, at any width."""

import io

import pytest
from rich.console import Console

from llmdemand.simulation.calls import progress


@pytest.mark.parametrize("width", [40, 60, 80, 120])
def test_the_count_is_never_cut(monkeypatch, width):
    shown = io.StringIO()
    monkeypatch.setattr(
        "rich.console.Console",
        lambda **_: Console(file=shown, width=width, force_terminal=True, color_system=None),
    )
    title = "synthetic: a-study-with-a-name-that-is-long"
    with progress.progress_bar(title, 12345, True) as state:
        for status in ("ok", "conflicting_mentions", "unresolved_at_end", "no_output"):
            for _ in range(1000):
                state.row(status)
        state.note = "the server is busy, waiting 30 s"
        state.draw(now=True)
        state.interrupted(3, 20.0)
    text = shown.getvalue()
    assert "4000/12345" in text
    said = " ".join(text.split())
    assert "interrupted: waiting up to 20 s for 3 answers under way" in said


def test_without_a_bar_an_interrupt_is_silent():
    progress.Progress(3).interrupted(2, 20.0)
