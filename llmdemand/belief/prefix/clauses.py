"""Words, clauses and openers: what a later mention means because of them."""

from __future__ import annotations

from llmdemand.belief.prefix.state import (
    LIST,
    LIST_COMMA,
    LIST_NAMED,
    NO_FRAME,
    PHRASE,
    SCENE_CLAUSE,
    State,
    in_word,
)
from llmdemand.belief.words import (
    CLAUSE_END,
    CURRENCY,
    LISTS,
    NEGATIONS,
    OPENERS,
    PAIRS,
    PICKS,
    POINTERS,
    SCENE,
    SCENE_FIRST,
    SUBJECTS,
    TURNS,
)

__all__ = ["AFTER_NO", "context"]

_AFTER_INSTEAD, _AFTER_PRICE, AFTER_NO = 1, 2, 3
_PRICED, _DECIMAL = 1, 2


def context(
    state: State,
    c: str,
    active: tuple[tuple[int, int], ...],
    settled: int,
    prefixes: frozenset[str],
    firsts: frozenset[str],
    picks: frozenset[str] = PICKS,
    apart: frozenset[str] = frozenset(),
) -> State:
    """The state after one character that moved the begun forms to `active`, `settled`.

    `prefixes` are the beginnings of all words that matter, `firsts` the first words of
    the menu's forms, `picks` the words after which a number is a label,
    `apart` those after which it is none.
    """
    if c.isalnum() or (c == "'" and in_word(state)):
        return _inside_word(state, c, active, settled, prefixes)
    ended = state.word
    state = _word_ended(state, firsts, picks)
    frame, negated, initial = state.frame, state.negated, state.initial
    sentence = c in "!?\n" or (c.isspace() and state.before == ".")
    dash = c == "-" and state.before.isspace()
    if sentence or dash or c in CLAUSE_END:
        negated = False
        # "between A, B and C" goes on after its commas, "either is fine, B" does not.
        listing = c == "," and frame in (LIST_NAMED, LIST_COMMA)
        frame = LIST_COMMA if listing else NO_FRAME
    # White space, and only white space, keeps "option A" and "no Pampers" together.
    space = c.isspace()
    amount = state.amount if space and state.amount == _PRICED else 0
    if c in CURRENCY or (space and ended and ended in apart):
        amount = _PRICED
    elif c in ".,:/" and state.before.isdigit():
        amount = _DECIMAL
    return state._replace(
        before=c,
        word="",
        active=active,
        settled=settled,
        negated=negated,
        frame=frame,
        pair=state.pair if space else 0,
        pointed=c in OPENERS or (space and state.pointed and c != "\n"),
        picked=space and state.picked and c != "\n",
        amount=amount,
        initial=initial or sentence,
    )


def _inside_word(
    state: State,
    c: str,
    active: tuple[tuple[int, int], ...],
    settled: int,
    prefixes: frozenset[str],
) -> State:
    begins = not in_word(state)
    word = c if begins else None if state.word is None else state.word + c
    if word is not None and word not in prefixes:
        word = None
    # What points at the next word only ends once that word names nothing.
    keep = begins or bool(active)
    return state._replace(
        before=c,
        word=word,
        active=active,
        settled=settled,
        pointed=state.pointed and keep,
        picked=state.picked and keep,
        amount=0,
    )


def _word_ended(state: State, firsts: frozenset[str], picks: frozenset[str]) -> State:
    """Apply the word that ends here, if one does."""
    if not in_word(state):
        return state
    word, first = state.word, state.initial
    frame, negated, pair = state.frame, state.negated, 0
    if frame == LIST_COMMA:
        frame = LIST_NAMED if word in ("and", "or") or word in firsts else NO_FRAME
    elif frame == LIST and word in firsts:
        frame = LIST_NAMED
    if word in NEGATIONS:
        negated = True
    elif word in SCENE or (word in SCENE_FIRST and first):
        frame = SCENE_CLAUSE
    elif word in LISTS:
        frame = LIST
    elif word in TURNS:
        negated, frame = False, NO_FRAME
    elif word in SUBJECTS:
        negated, frame = False, NO_FRAME if frame == PHRASE else frame
    elif word == "of" and state.pair in (_AFTER_INSTEAD, _AFTER_PRICE):
        frame = frame or PHRASE
    elif word in PAIRS:
        pair = PAIRS[word]
    return state._replace(
        word="",
        frame=frame,
        negated=negated,
        pair=pair,
        pointed=word in POINTERS,
        picked=word in picks,
        initial=False,
    )
