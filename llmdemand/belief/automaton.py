"""Reads an answer one token at a time and says when the choice is settled.

Every prefix of an answer is classified by itself, never by what follows:

``decide``
    the prefix names one alternative and no other reading is left;
``ambiguous``
    it has begun to name an alternative, but several are possible (or the same
    letters are an ordinary word);
``neutral``
    nothing has been named: preamble, punctuation, markdown;
``off``
    inside a word that names nothing.

A listed candidate is classified by the same step from the same state as the
realised token: that is what makes belief unbiased (see "Why belief is exactly
unbiased" in the documentation).

Rules
-----
* A mention begins at a word boundary. It decides at the end of the first token after
  which one alternative is left; where one form begins another ("Coke", "Coke Zero"),
  where they part, or at the end of the text.
* Letters that are a common English word by themselves ("I", "no", "the") do not
  decide for a longer form that they begin.
* Single-letter labels keep their case. A sentence-initial "A" and any "I" decide
  only in brackets or markdown, after "option" and the like, before closing
  punctuation, or when the format is answer-first.
* A mention in a negated clause ("would not choose"), right after "no", or in a clause that
  only sets the scene ("between ... and ...", "since ... ,", "the price of ..."), does not
  decide. A clause ends at ``, ; : ! ?``, a dash, a full stop before white space, a new
  line, and at words that turn to the decision ("but", "so", "then", "I'd", ...).
* Of mentions within each other the one that began first counts ("Brand B", not "B").
* In scripts without spaces one character of a longer form does not decide.
* Nothing is read before the first anchor ("Answer:"), where anchors are given, nor
  within a thinking block.
"""

from __future__ import annotations

import unicodedata
from typing import NamedTuple

from llmdemand.belief.characters import boundary, decode, encodings, first_word
from llmdemand.belief.words import (
    CLAUSE_END,
    CLOSERS,
    KNOWN,
    LISTS,
    NEGATIONS,
    OPENERS,
    ORDINARY,
    PAIRS,
    POINTERS,
    SCENE,
    SCENE_FIRST,
    SUBJECTS,
    TURNS,
)
from llmdemand.core.menu import Menu, fold

__all__ = ["AMBIGUOUS", "NEUTRAL", "OFF", "Automaton", "Place"]

# Outcomes of a step: an alternative's index (>= 0) when decided, else one of these.
NEUTRAL, AMBIGUOUS, OFF = -1, -2, -3

_NO_FRAME, _SCENE, _PHRASE, _LIST, _LIST_NAMED, _LIST_COMMA = range(6)
_AFTER_INSTEAD, _AFTER_PRICE, _AFTER_NO = 1, 2, 3
_OPEN, _BEFORE_ANCHOR, _THINKING = range(3)


class _State(NamedTuple):
    """Everything that the meaning of the next byte depends on."""

    pending: bytes = b""  # the beginning of a UTF-8 character
    before: str = " "  # the last character, folded
    word: str | None = ""  # the current word while it may be one that matters, else None
    active: tuple[tuple[int, int], ...] = ()  # forms begun: (form, characters matched)
    settled: int = -1  # form that is complete while a longer one is alive
    negated: bool = False
    frame: int = _NO_FRAME
    pair: int = 0  # after "instead", "price" or "no", which the next word completes
    pointed: bool = False  # an option word or an opening bracket comes right before
    initial: bool = True  # at the beginning of a sentence
    gate: int = _OPEN  # whether the answer has begun
    seen: str = ""  # how far an anchor or a thinking tag has been read


class _Form(NamedTuple):
    text: str
    alternative: int
    whole: bool
    letter: bool


class Place(dict[bytes, tuple["Place", int]]):
    """A state of an `Automaton`, and the steps from it that were taken before.

    ``place[data]`` is the step: a dictionary look-up where the token was seen in
    this state before, and computed otherwise.
    """

    __slots__ = ("_automaton", "state")

    def __init__(self, automaton: Automaton, state: _State) -> None:
        self._automaton = automaton
        self.state = state

    def __missing__(self, data: bytes) -> tuple[Place, int]:
        """Compute a step that was not taken before."""
        found = self[data] = self._automaton._step(self.state, data)
        return found


class Automaton:
    """The incremental matcher of one menu. Steps are cached; instances are reusable.

    Parameters
    ----------
    menu : Menu
        The choice set.
    answer_first : bool
        Whether the answer's first word is the choice, so that a leading "A" or
        "I" is a label and not an English word.
    anchors : tuple of str
        Texts after the first of which the answer begins, in any case of letters.
    thinking : (str, str)
        Tags between which nothing is read.
    thinking_open : bool
        Whether the answer begins inside a thinking block (the prompt ended with
        the opening tag).

    Examples
    --------
    >>> automaton = Automaton(Menu.of("Pampers", "Huggies"))
    >>> state, outcome = automaton.step(automaton.start, b"I'd pick")
    >>> outcome == NEUTRAL or outcome == OFF
    True
    >>> automaton.step(state, b" H")[1]     # the index of Huggies
    1
    """

    def __init__(
        self,
        menu: Menu,
        *,
        answer_first: bool = False,
        anchors: tuple[str, ...] = (),
        thinking: tuple[str, str] = ("<think>", "</think>"),
        thinking_open: bool = False,
    ) -> None:
        self.menu, self.thinking = menu, thinking
        self._anchors = tuple(fold(a) for a in anchors)
        self._opening, self._closing = (fold(tag) for tag in thinking)
        # What the answer is like when it begins, at once or after an anchor.
        self._fresh = _State(pointed=answer_first)
        gate = _THINKING if thinking_open else _BEFORE_ANCHOR if anchors else _OPEN
        self._forms = tuple(
            _Form(
                form if len(form) == 1 else " ".join(fold(form).split()),
                index,
                alternative.whole,
                len(form) == 1 and form.isalpha(),
            )
            for index, alternative in enumerate(menu)
            for form in alternative.forms
        )
        firsts = {first_word(f.text.casefold()) for f in self._forms}
        self._firsts = frozenset(firsts)
        self._prefixes = frozenset(w[:k] for w in KNOWN | firsts for k in range(len(w) + 1))
        self._places: dict[_State, Place] = {}
        self.start = self._place(self._fresh._replace(gate=gate))

    def step(self, place: Place, data: bytes) -> tuple[Place, int]:
        """The place after one token, and what the token did; the same as ``place[data]``.

        Parameters
        ----------
        place : Place
            A place returned by an earlier step, or `start`.
        data : bytes
            The token's bytes; empty for the end of the text.

        Returns
        -------
        place, outcome : Place, int
            `outcome` is the index of the alternative that is now chosen, or
            `NEUTRAL`, `AMBIGUOUS`, `OFF`.
        """
        return place[data]

    def end(self, place: Place) -> int:
        """What the end of the text decides: an alternative's index or `NEUTRAL`."""
        return self._end(place.state)

    def begun(self, place: Place) -> bool:
        """Whether the answer has begun: no anchor is awaited, no thinking block open."""
        return place.state.gate == _OPEN

    def resume(self, place: Place) -> Place:
        """The place from which the words after a decision are read, for audits."""
        return self._place(place.state._replace(active=(), settled=-1))

    def _place(self, state: _State) -> Place:
        found = self._places.get(state)
        if found is None:
            found = self._places[state] = Place(self, state)
        return found

    def _step(self, state: _State, data: bytes) -> tuple[Place, int]:
        if not data:
            return self._place(state), self._end(state)
        text, pending = decode(state.pending + data)
        state = state._replace(pending=b"")
        for raw in unicodedata.normalize("NFKC", text):
            # Case is kept beside the folded letter for the single-letter labels only.
            for c in fold(raw):
                state, decided = self._read(state, c, raw)
                if decided >= 0:
                    return self._place(state), decided
        state = state._replace(pending=pending)
        place = self._place(state)
        if state.gate != _OPEN:
            return place, NEUTRAL
        if pending:
            return place, AMBIGUOUS if self._may_continue(state) else NEUTRAL
        decided = self._decision(state)
        if decided >= 0:
            return place, decided
        if state.active or state.settled >= 0:
            return place, AMBIGUOUS
        return place, OFF if _in_word(state) else NEUTRAL

    def _end(self, state: _State) -> int:
        """Longest complete form at the end of the text; whole or letter forms included."""
        complete = [self._forms[f] for f, n in state.active if n == len(self._forms[f].text)]
        if complete:
            return max(complete, key=lambda form: len(form.text)).alternative
        return self._forms[state.settled].alternative if state.settled >= 0 else NEUTRAL

    def _read(self, state: _State, c: str, raw: str) -> tuple[_State, int]:
        """One character of the answer: the next state, and what it confirms or -1."""
        if state.gate != _OPEN:
            return self._wait(state, c), -1
        active, settled, decided = self._advance(state, c, raw)
        after = self._context(state, c, active, settled)
        seen = _progress(state.seen + c, (self._opening,))
        if seen == self._opening:
            after = self._fresh._replace(gate=_THINKING)
        elif seen or state.seen:
            after = after._replace(seen=seen)
        return after, decided

    def _wait(self, state: _State, c: str) -> _State:
        """One character before the answer: look for nothing but what ends the wait."""
        inside = state.gate == _THINKING
        targets = (self._closing,) if inside else (*self._anchors, self._opening)
        if not inside and (c in "*_`" or (c.isspace() and state.seen.endswith(" "))):
            return state  # markdown and repeated spaces are transparent
        c = " " if c.isspace() else c
        seen = _progress(state.seen + c, targets)
        if not seen and c == " " and state.seen:
            seen = state.seen + c  # held for "Answer :"
        elif not inside and state.seen.endswith(" "):
            seen = max(seen, _progress(state.seen.rstrip() + c, targets), key=len)
        if seen not in targets:
            return state._replace(seen=seen)
        if seen == self._opening:
            return state._replace(seen="", gate=_THINKING)
        if inside and self._anchors:
            return state._replace(seen="", gate=_BEFORE_ANCHOR)
        # After an anchor a letter is a label: "Answer: A".
        return self._fresh._replace(before=c, pointed=self._fresh.pointed or not inside)

    def _advance(
        self, state: _State, c: str, raw: str
    ) -> tuple[tuple[tuple[int, int], ...], int, int]:
        """Move the begun forms over one character; begin new ones at a word boundary."""
        edge = boundary(state.before, c)
        active: list[tuple[int, int]] = []
        settled = state.settled
        for f, n in state.active:
            form = self._forms[f]
            if n == len(form.text):
                if edge and self._may_close(state, form, c) and n >= self._length(settled):
                    settled = f
                continue
            expected = form.text[n]
            if expected == c or (expected == " " and c.isspace()):
                active.append((f, n + 1))
            elif c.isspace() and form.text[n - 1] == " ":
                active.append((f, n))
        # Only a longer form that began at the same place can still take it away.
        if settled >= 0 and all(n <= self._length(settled) for _, n in active):
            return (), -1, self._forms[settled].alternative
        hidden = state.negated or state.frame or state.pair == _AFTER_NO or _in_quote(state)
        if c.isalnum() and edge and not hidden:
            for f, form in enumerate(self._forms):
                if form.text[0] == (raw if form.letter else c):
                    active.append((f, 1))
        return tuple(active), settled, -1

    def _length(self, form: int) -> int:
        return len(self._forms[form].text) if form >= 0 else 0

    def _may_close(self, state: _State, form: _Form, c: str) -> bool:
        """Whether the boundary character `c` confirms a complete form.

        "A" and "I" are English words: white space after them confirms nothing,
        closing punctuation does.
        """
        if not (form.letter and form.text in "AI") or state.pointed:
            return True
        return c in CLOSERS

    def _decision(self, state: _State) -> int:
        """The only alternative left at the end of a token, or -1."""
        if not state.active:
            return -1
        # Of mentions within each other ("Brand B", "B") the one that began first counts.
        longest = max(n for _, n in state.active)
        active = [(self._forms[f], n) for f, n in state.active if n == longest]
        alternatives = {form.alternative for form, _ in active}
        if state.settled >= 0 and state.before.isspace():
            alternatives.add(self._forms[state.settled].alternative)
        if len(alternatives) > 1:
            return -1
        for form, n in active:
            if form.whole:
                if n == len(form.text):
                    return form.alternative
            elif not self._is_ordinary(state, form, n):
                return form.alternative
        return -1

    def _is_ordinary(self, state: _State, form: _Form, n: int) -> bool:
        """Whether the matched letters are an English word on their own."""
        if form.letter:
            if form.text not in "AI" or state.pointed:
                return False
            return form.text == "I" or state.initial
        last = form.text[:n].rsplit(" ", 1)[-1]
        if n < len(form.text) and last in ORDINARY:
            return True
        # Where words are not spaced, one character is as often part of another word.
        return n == 1 < len(form.text) and boundary("x", form.text[0])

    def _context(
        self, state: _State, c: str, active: tuple[tuple[int, int], ...], settled: int
    ) -> _State:
        """Words, clauses and openers: what a later mention's meaning depends on."""
        if c.isalnum() or (c == "'" and _in_word(state)):
            return self._inside_word(state, c, active, settled)
        state = self._word_ended(state)
        frame, negated, initial = state.frame, state.negated, state.initial
        sentence = c in "!?\n" or (c.isspace() and state.before == ".")
        dash = c == "-" and state.before.isspace()
        if sentence or dash or c in CLAUSE_END:
            negated = False
            # "between A, B and C" goes on after its commas, "either is fine, B" does not.
            listing = c == "," and frame in (_LIST_NAMED, _LIST_COMMA)
            frame = _LIST_COMMA if listing else _NO_FRAME
        # White space, and only white space, keeps "option A" and "no Pampers" together.
        pointed = c in OPENERS or (c.isspace() and state.pointed and c != "\n")
        pair = state.pair if c.isspace() else 0
        return _State(
            b"", c, "", active, settled, negated, frame, pair, pointed, initial or sentence
        )

    def _inside_word(
        self, state: _State, c: str, active: tuple[tuple[int, int], ...], settled: int
    ) -> _State:
        begins = not _in_word(state)
        word = c if begins else None if state.word is None else state.word + c
        if word is not None and word not in self._prefixes:
            word = None
        # What points at the next word only ends once that word names nothing.
        keep = begins or bool(active)
        return state._replace(
            before=c,
            word=word,
            active=active,
            settled=settled,
            pointed=state.pointed and keep,
        )

    def _word_ended(self, state: _State) -> _State:
        """Apply the word that ends here, if one does."""
        if not _in_word(state):
            return state
        word, first = state.word, state.initial
        frame, negated, pair = state.frame, state.negated, 0
        if frame == _LIST_COMMA:
            frame = _LIST_NAMED if word in ("and", "or") or word in self._firsts else _NO_FRAME
        elif frame == _LIST and word in self._firsts:
            frame = _LIST_NAMED
        if word in NEGATIONS:
            negated = True
        elif word in SCENE or (word in SCENE_FIRST and first):
            frame = _SCENE
        elif word in LISTS:
            frame = _LIST
        elif word in TURNS:
            negated, frame = False, _NO_FRAME
        elif word in SUBJECTS:
            negated, frame = False, _NO_FRAME if frame == _PHRASE else frame
        elif word == "of" and state.pair in (_AFTER_INSTEAD, _AFTER_PRICE):
            frame = frame or _PHRASE
        elif word in PAIRS:
            pair = PAIRS[word]
        return state._replace(
            word="",
            frame=frame,
            negated=negated,
            pair=pair,
            pointed=word in POINTERS,
            initial=False,
        )

    def _may_continue(self, state: _State) -> bool:
        """Whether a form can go on with the character whose first bytes are there."""
        if state.settled >= 0:
            return True
        due = [self._forms[f].text[n] for f, n in state.active if n < len(self._forms[f].text)]
        if not (state.negated or state.frame):
            due += [form.text[0] for form in self._forms]
        return any(e.startswith(state.pending) for c in due for e in encodings(c))


def _progress(text: str, targets: tuple[str, ...]) -> str:
    """The longest end of `text` with which a target begins."""
    for start in range(len(text)):
        if any(target.startswith(text[start:]) for target in targets):
            return text[start:]
    return ""


def _in_word(state: _State) -> bool:
    """Whether the last character belongs to a word that may still go on."""
    return state.before.isalnum() or _in_quote(state)


def _in_quote(state: _State) -> bool:
    """Whether the last character is an apostrophe within a word ("I'd")."""
    return state.before == "'" and state.word != ""
