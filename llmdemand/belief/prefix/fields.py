"""JSON answers: which fields of an object may say the choice."""

from __future__ import annotations

from llmdemand.belief.prefix.state import NO_FRAME, State
from llmdemand.belief.words import REMARKS

__all__ = ["hidden", "moved"]

_NONE, _BETWEEN, _KEY, _VALUE, _TEXT, _LIST = range(6)
_REMARK = "-"
_LONGEST = 24


def hidden(state: State) -> bool:
    """Whether nothing that is written here says the choice: a key, a reason, a price."""
    return state.field == _KEY or (state.field > _KEY and state.key == _REMARK)


def moved(before: State, after: State, c: str) -> State:
    """The state `after` one more character, with its place in an object."""
    field, key = before.field, before.key
    quote = c == '"' and before.before != "\\"
    if field == _NONE:
        return after._replace(field=_BETWEEN) if c == "{" else after
    if field == _BETWEEN:
        if quote:
            return after._replace(field=_KEY, key="")
        # Braces around a plain word are no object.
        return after._replace(field=_NONE) if c == "}" or c.isalnum() else after
    if field == _KEY:
        if not quote:
            return after._replace(key=(key + c)[-_LONGEST:])
        word = key.strip().replace(" ", "_")
        return _anew(after, _VALUE, _REMARK if word in REMARKS else "")
    if field == _VALUE:
        if quote:
            return after._replace(field=_TEXT)
        if c == "[":
            return after._replace(field=_LIST)
        if c in ",{":
            return _anew(after, _BETWEEN)
        return _anew(after, _NONE) if c == "}" else after
    if (field == _TEXT and quote) or (field == _LIST and c == "]"):
        return _anew(after, _BETWEEN)
    return after


def _anew(state: State, field: int, key: str = "") -> State:
    """A field begins: what an earlier one negated or set the scene for is over."""
    return state._replace(field=field, key=key, negated=False, frame=NO_FRAME, pair=0)
