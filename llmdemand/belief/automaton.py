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
* A number decides at once where a label is due (at the beginning of a sentence, after
  "option", "pick" or an opening bracket); elsewhere once what follows shows that it is no
  price, unit or count; never after a currency sign or within a decimal. Where every
  alternative is a number, number words are numbers too, and "buy" points at one.
* In a JSON object keys decide nothing, nor do values of "reason" and the like.
* What cannot be read (half a character without its bytes, a vocabulary's glyphs) is
  ``unplaced``: it may decide or not.
* Chinese characters, katakana and Korean syllables are like letters: a name that is split
  by character or byte decides as soon as one alternative is left (from the second byte of
  its first character). Where one character says little (Thai, hiragana) two are needed.
* Nothing is read before the first anchor ("Answer:"), where anchors are given, nor
  within a thinking block.
"""

from __future__ import annotations

import unicodedata

from llmdemand.belief.characters import (
    begins,
    boundary,
    decode,
    encodings,
    first_word,
    one_is_little,
)
from llmdemand.belief.prefix import fields
from llmdemand.belief.prefix.clauses import AFTER_NO, context
from llmdemand.belief.prefix.gates import Gates
from llmdemand.belief.prefix.state import OPEN, Form, State, in_quote, in_word
from llmdemand.belief.words import (
    APART,
    CLOSERS,
    COUNTED,
    KNOWN,
    ORDINARY,
    PICKS,
    UNITS,
)
from llmdemand.core.menu import NUMBERS, Menu, fold

__all__ = ["AMBIGUOUS", "NEUTRAL", "OFF", "UNPLACED", "Automaton", "Place"]

# Outcomes of a step: an alternative's index (>= 0) when decided, else one of these.
NEUTRAL, AMBIGUOUS, OFF, UNPLACED = -1, -2, -3, -4

# Half a character whose bytes are lost, and how vocabularies write a space or a new line.
_MARKS = frozenset("\ufffd\u0120\u010a\u2581")


# Characters in states that are remembered.
_MOST_CHARACTERS = 1 << 16


class Place(dict[bytes, tuple["Place", int]]):
    """A state of an `Automaton`, and the steps from it that were taken before.

    ``place[data]`` is the step: a dictionary look-up where the token was seen in
    this state before, and computed otherwise.
    """

    __slots__ = ("_automaton", "resumed", "state")

    def __init__(self, automaton: Automaton, state: State) -> None:
        self._automaton = automaton
        self.state = state
        self.resumed: Place | None = None

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
        Tags between which nothing is read; those of `gates.THOUGHTS` always are.
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
        self._gates = Gates(anchors, thinking, thinking_open)
        self.thoughts = self._gates.closed_by_itself
        # What the answer is like when it begins, at once or after an anchor.
        self._fresh = State(pointed=answer_first)
        # Where every alternative is a number, "two" is as "2", and "buy 2" says how many.
        self.counts = menu.numeric
        self._picks = PICKS | COUNTED if self.counts else PICKS
        self._apart = APART if self.counts else frozenset[str]()
        self._forms = tuple(
            Form(
                form if len(form) == 1 else " ".join(fold(form).split()),
                index,
                alternative.whole,
                len(form) == 1 and form.isalpha(),
                form.isdigit() or (self.counts and _begins_with_number(form)),
                form.isdigit() or (self.counts and fold(form) in NUMBERS),
            )
            for index, alternative in enumerate(menu)
            for form in alternative.forms
        )
        firsts = {first_word(f.text.casefold()) for f in self._forms}
        self._firsts = frozenset(firsts)
        self._prefixes = frozenset(
            w[:k] for w in KNOWN | self._picks | self._apart | firsts for k in range(len(w) + 1)
        )
        self._places: dict[State, Place] = {}
        self._characters: dict[tuple[State, str, str], tuple[State, int]] = {}
        self._marks = _MARKS.difference(*(f.text for f in self._forms))
        self.start = self._place(self._fresh._replace(gate=self._gates.first))

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
        return place.state.gate == OPEN

    def resume(self, place: Place) -> Place:
        """The place from which the words after a decision are read, for audits."""
        if place.resumed is None:
            place.resumed = self._place(place.state._replace(active=(), settled=-1))
        return place.resumed

    def _place(self, state: State) -> Place:
        found = self._places.get(state)
        if found is None:
            found = self._places[state] = Place(self, state)
        return found

    def _step(self, state: State, data: bytes) -> tuple[Place, int]:
        if not data:
            return self._place(state), self._end(state)
        text, pending = decode(state.pending + data)
        state = state._replace(pending=b"")
        for raw in unicodedata.normalize("NFKC", text):
            # Case is kept beside the folded letter for the single-letter labels only.
            for c in fold(raw):
                # Words that matter nowhere leave few states, whichever words they are.
                known = self._characters.get((state, c, raw))
                if known is None:
                    if len(self._characters) >= _MOST_CHARACTERS:
                        self._characters.clear()
                    known = self._characters[state, c, raw] = self._read(state, c, raw)
                state, decided = known
                if decided >= 0:
                    return self._place(state), decided
        state = state._replace(pending=pending)
        place = self._place(state)
        if state.gate != OPEN:
            return place, NEUTRAL
        outcome = self._outcome(state)
        if outcome < 0 and not self._marks.isdisjoint(text):
            return place, UNPLACED
        return place, outcome

    def _outcome(self, state: State) -> int:
        """What a token that leads to this state has done."""
        if state.pending:
            return self._within_character(state)
        decided = self._decision(state)
        if decided >= 0:
            return decided
        if state.active or state.settled >= 0:
            return AMBIGUOUS
        return OFF if in_word(state) else NEUTRAL

    def _end(self, state: State) -> int:
        """Longest complete form at the end of the text; whole or letter forms included."""
        complete = [self._forms[f] for f, n in state.active if n == len(self._forms[f].text)]
        if complete:
            return max(complete, key=lambda form: len(form.text)).alternative
        return self._forms[state.settled].alternative if state.settled >= 0 else NEUTRAL

    def _read(self, state: State, c: str, raw: str) -> tuple[State, int]:
        """One character of the answer: the next state, and what it confirms or -1."""
        if state.gate != OPEN:
            return self._gates.wait(state, c, self._fresh), -1
        active, settled, decided = self._advance(state, c, raw)
        words = self._prefixes, self._firsts, self._picks, self._apart
        after = context(state, c, active, settled, *words)
        if state.field or c == "{":
            after = fields.moved(state, after, c)
        return self._gates.watch(state, after, c, self._fresh), decided

    def _advance(
        self, state: State, c: str, raw: str
    ) -> tuple[tuple[tuple[int, int], ...], int, int]:
        """Move the begun forms over one character; begin new ones at a word boundary."""
        edge = boundary(state.before, c)
        active: list[tuple[int, int]] = []
        settled = state.settled
        for f, n in state.active:
            form = self._forms[f]
            if n == len(form.text):
                if form.bare and _is_amount(state, c):
                    continue
                if form.bare and _is_held(state, c):
                    active.append((f, n))
                elif edge and self._may_close(state, form, c) and n >= self._length(settled):
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
        if c.isalnum() and begins(state.before, c) and not _is_hidden(state):
            for f, form in enumerate(self._forms):
                if form.number and state.amount:
                    continue
                if form.text[0] == (raw if form.letter else c):
                    active.append((f, 1))
        return tuple(active), settled, -1

    def _length(self, form: int) -> int:
        return len(self._forms[form].text) if form >= 0 else 0

    def _may_close(self, state: State, form: Form, c: str) -> bool:
        """Whether the boundary character `c` confirms a complete form.

        "A" and "I" are English words: white space after them confirms nothing,
        closing punctuation does.
        """
        if not (form.letter and form.text in "AI") or state.pointed:
            return True
        return c in CLOSERS

    def _decision(self, state: State) -> int:
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
            complete = n == len(form.text) and not form.bare
            if form.number and not (complete or (state.before.isalnum() and _is_label(state))):
                continue
            # "O" begins more words than "one".
            if form.whole or (form.number and not form.text[0].isdigit()):
                if n == len(form.text):
                    return form.alternative
            elif not self._is_ordinary(state, form, n):
                return form.alternative
        return -1

    def _is_ordinary(self, state: State, form: Form, n: int) -> bool:
        """Whether the matched letters are an English word on their own."""
        if form.letter:
            if form.text not in "AI" or state.pointed:
                return False
            return form.text == "I" or state.initial
        # Of the points of a scale the words in the middle are no words by themselves.
        last = form.text[:n] if self.counts else form.text[:n].rsplit(" ", 1)[-1]
        if n < len(form.text) and last in ORDINARY:
            return True
        return n == 1 < len(form.text) and one_is_little(form.text[0])

    def _within_character(self, state: State) -> int:
        """What the first bytes of a character leave: one alternative, several, or none.

        The lead byte of a name's first character is no name yet: thousands share it.
        """
        within = [
            self._forms[f].alternative
            for f, n in state.active
            if n < len(self._forms[f].text) and _can_begin(self._forms[f].text[n], state.pending)
        ]
        fresh = [
            form
            for form in self._forms
            if not _is_hidden(state)
            and begins(state.before, form.text[0])
            and _can_begin(form.text[0], state.pending)
        ]
        left = {*within, *(form.alternative for form in fresh)}
        complete = any(n == len(self._forms[f].text) for f, n in state.active)
        open_ = complete or state.settled >= 0
        if not left and not open_:
            return NEUTRAL
        early = fresh and (len(state.pending) < 2 or any(_is_early(form) for form in fresh))
        whole = any(self._forms[f].whole for f, _ in state.active)
        if len(left) > 1 or open_ or early or whole:
            return AMBIGUOUS
        return left.pop()


def _begins_with_number(form: str) -> bool:
    return form[0].isdigit() or first_word(fold(form)) in NUMBERS


def _can_begin(character: str, pending: bytes) -> bool:
    return any(encoded.startswith(pending) for encoded in encodings(character))


def _is_early(form: Form) -> bool:
    """Whether the first character of a form does not decide for it."""
    return form.whole or form.letter or form.number or one_is_little(form.text[0])


def _is_hidden(state: State) -> bool:
    """Whether a mention that begins here would not say the choice."""
    phrase = state.negated or state.frame or state.pair == AFTER_NO or in_quote(state)
    return bool(phrase) or fields.hidden(state)


def _is_label(state: State) -> bool:
    """Whether a number that stands here is a label, and no price, unit or count."""
    return state.pointed or state.picked or state.initial


def _is_held(state: State, c: str) -> bool:
    """Whether only what follows `c` can tell a label from a decimal or a count."""
    if not state.before.isalnum():
        return c.isspace() and state.before.isspace() and c != "\n"
    return not _is_label(state) and (c in ".," or (c.isspace() and c != "\n"))


def _is_amount(state: State, c: str) -> bool:
    """Whether `c` shows that a complete number is a decimal, a price, a unit or a count."""
    if state.before.isalnum():
        return c in UNITS or c.isalnum()
    return c.isdigit() or (c.isalnum() and state.before.isspace())
