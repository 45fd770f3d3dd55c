"""Where an answer begins: after a thought, after an anchor."""

from __future__ import annotations

from llmdemand.belief.prefix.state import BEFORE_ANCHOR, OPEN, THINKING, State, progress
from llmdemand.core.menu import fold

__all__ = ["THOUGHTS", "Gates", "unopened"]

#: Tags in which models think; gpt-oss thinks in a channel of its own.
THOUGHTS = (
    ("<think>", "</think>"),
    ("<thinking>", "</thinking>"),
    ("[THINK]", "[/THINK]"),
    ("<seed:think>", "</seed:think>"),
    ("<|channel|>analysis<|message|>", "<|channel|>final<|message|>"),
)


def unopened(text: str, pairs: tuple[tuple[str, str], ...]) -> str:
    """The tag that closes a thought in `text` which nothing there has opened, if any.

    >>> unopened("Okay, Pampers ... </think> Huggies", THOUGHTS)
    '</think>'
    """
    for opening, closing in pairs:
        if closing in text and opening not in text[: text.index(closing)]:
            return closing
    return ""


class Gates:
    """What must have been read before an answer begins, for one format."""

    def __init__(
        self, anchors: tuple[str, ...], thinking: tuple[str, str], thinking_open: bool
    ) -> None:
        pairs = (thinking, *(pair for pair in THOUGHTS if pair != thinking))
        self.pairs = pairs
        self._anchors = tuple(fold(a) for a in anchors)
        self._openings = tuple(fold(opening) for opening, _ in pairs)
        self._closings = tuple(fold(closing) for _, closing in pairs)
        self.first = THINKING if thinking_open else BEFORE_ANCHOR if anchors else OPEN
        # A thought that the prompt opens is closed by a tag that nothing opens.
        self.closed_by_itself = pairs[1:] if thinking_open else pairs

    def watch(self, before: State, after: State, c: str, fresh: State) -> State:
        """Within an answer: whether a thought begins here."""
        seen = progress(before.seen + c, self._openings)
        if seen in self._openings:
            return fresh._replace(gate=THINKING + self._openings.index(seen))
        return after._replace(seen=seen) if seen or before.seen else after

    def wait(self, state: State, c: str, fresh: State) -> State:
        """One character before the answer: look for nothing but what ends the wait."""
        inside = state.gate >= THINKING
        targets = (
            (self._closings[state.gate - THINKING],)
            if inside
            else (*self._anchors, *self._openings)
        )
        if not inside and (c in "*_`" or (c.isspace() and state.seen.endswith(" "))):
            return state  # markdown and repeated spaces are transparent
        c = " " if c.isspace() else c
        seen = progress(state.seen + c, targets)
        if not seen and c == " " and state.seen:
            seen = state.seen + c  # held for "Answer :"
        elif not inside and state.seen.endswith(" "):
            seen = max(seen, progress(state.seen.rstrip() + c, targets), key=len)
        if seen not in targets:
            return state._replace(seen=seen)
        if seen in self._openings and not inside:
            return state._replace(seen="", gate=THINKING + self._openings.index(seen))
        if inside and self._anchors:
            return state._replace(seen="", gate=BEFORE_ANCHOR)
        # After an anchor a letter is a label: "Answer: A".
        return fresh._replace(before=c, pointed=fresh.pointed or not inside)
