"""What one clause says by itself: names that it takes, rejects or only compares with."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from llmdemand.belief.final.scan import MENTION, Clause, Item

__all__ = ["DECISION", "NAME", "REFERENCES", "VERDICT", "Said", "Speaker", "said"]

#: How strongly a clause decides: a name alone, a sentence, a heading ("Answer: ...").
NAME, DECISION, VERDICT = 1, 2, 3
#: Kinds of words that stand for a name.
REFERENCES = frozenset("former latter first second cheaper dearer other pronoun".split())
_VERBS = ("decide", "verb", "after", "intend")
_VOID = frozenset({"wish", "unsure", "refuse"})
# Words between an "I'd" and its name or its comma: more of them are another story.
_FEW, _FEWER = 4, 2


@dataclass(slots=True)
class Speaker:
    """Who speaks in a sentence, and under which condition; carried from clause to clause.

    Attributes
    ----------
    subject : bool
        Whether the sentence speaks of "I" or "we".
    others : bool
        Whether it speaks of somebody else.
    condition : bool
        Whether it stands under an "if".
    """

    subject: bool = False
    others: bool = False
    condition: bool = False


@dataclass(slots=True)
class Said:
    """What a clause says.

    Attributes
    ----------
    live, objects : list of int
        Alternatives that it names and neither rejects nor compares with; those of them
        that the deciding word takes.
    rejected : list of int
        Alternatives that it rejects.
    strength : int
        How strongly its own words decide, 0 if they do not.
    closing : int
        The alternative before words such as "it is", -1 if there is none.
    kinds : set of str
        Kinds of its items.
    void, scene, negated, conditional : bool
        Whether nothing in it decides; whether that is since it only sets a scene;
        whether it says no; whether an "if" is in it.
    """

    live: list[int] = field(default_factory=list)
    objects: list[int] = field(default_factory=list)
    rejected: list[int] = field(default_factory=list)
    strength: int = 0
    closing: int = -1
    kinds: frozenset[str] = frozenset()
    void: bool = False
    scene: bool = False
    negated: bool = False
    conditional: bool = False


@dataclass(slots=True)
class _Name:
    alternative: int
    rejected: bool
    after: bool  # after the word that decides


def said(
    clause: Clause,
    speaker: Speaker,
    object_place: str,
    outside: frozenset[int],
    refer: Callable[[str], int],
) -> Said:
    """Read the items of a clause in order.

    Parameters
    ----------
    clause : Clause
        With at least one item.
    speaker : Speaker
        Of the sentence so far; changed by what the clause says.
    object_place : str
        Where names stand to verbs: ``after``, ``before`` or ``any``.
    outside : frozenset of int
        Outside options: "not" before one of them is no rejection of it.
    refer : callable
        The alternative that a word of the kinds `REFERENCES` stands for, -1 if unknown.
    """
    items = clause.items
    found = Said(kinds=frozenset([item.kind for item in items]))
    names: list[_Name] = []
    no = compared = rejecting = intends = led = False
    previous = ""
    for kind, alternative, _ in items:
        if kind == MENTION or kind in REFERENCES:
            if kind == "pronoun" and clause.lead >= 0:
                continue  # an article, where a name follows
            at = (
                alternative
                if kind == MENTION
                else -1
                if names and kind == "pronoun"
                else refer(kind)
            )
            if at >= 0 and not compared:
                if kind in REFERENCES:  # "of A and B the latter"
                    names = [name for name in names if name.rejected]
                refused = rejecting or (no and at not in outside)
                names.append(_Name(at, refused, found.strength > 0 or intends))
        elif kind == "decide" or (kind == "verb" and _has_subject(clause, speaker, previous)):
            found.strength = max(found.strength, DECISION)
            compared = rejecting = False
            if led:
                found.void = found.scene = led = False
        elif kind in ("me", "intend"):
            speaker.subject, speaker.others = True, False
            intends |= kind == "intend"
            compared = False
            if led:  # "At these prices I would ..."
                found.void = found.scene = led = False
        elif kind == "is":
            if "verdict" in found.kinds and (not names or previous == "verdict"):
                found.strength = VERDICT
        elif kind == "after":
            if names and not names[-1].rejected and not rejecting:
                found.closing = names[-1].alternative
        elif kind == "not":
            no = True
        elif kind == "reject":
            no, rejecting = no and bool(names), True
        elif kind == "compare":
            compared = True
        elif kind == "compared":
            names = names[:-1]
        elif kind in ("if", "if_first"):
            speaker.condition = found.conditional = True
        elif kind == "others":
            speaker.others, speaker.subject = True, False
        elif kind in ("scene", "scene_first"):
            found.void = found.scene = True
            led = kind == "scene_first"
        previous = kind
    found.negated = no or rejecting
    if not found.strength:
        found.strength = _unsaid(clause, found, names, intends)
    found.void |= speaker.others or bool(_VOID & found.kinds)
    speaker.others &= not found.scene  # "with so many people, ..." says nothing of what follows
    _reject(found, names, items, clause, object_place, no=no, rejecting=rejecting, outside=outside)
    found.rejected = [name.alternative for name in names if name.rejected]
    found.live = _once(name.alternative for name in names if not name.rejected)
    after = _once(name.alternative for name in names if name.after and not name.rejected)
    found.objects = (after if object_place == "after" else []) or found.live
    return found


def _has_subject(clause: Clause, speaker: Speaker, previous: str) -> bool:
    """Whether a verb such as "buy" has an "I" before it, or is an imperative."""
    begins = not previous and not clause.unknown and (clause.first or clause.opener == "turn")
    return speaker.subject or begins


def _unsaid(clause: Clause, found: Said, names: list[_Name], intends: bool) -> int:
    """The strength of a clause without a verb that is in a list."""
    items = clause.items
    if len(items) > 1 and items[-1].kind == MENTION and items[-2].kind == "verdict":
        return VERDICT  # "final answer B"
    few = _FEW if names else _FEWER
    return DECISION if intends and not found.negated and clause.unknown <= few else 0


def _reject(
    found: Said,
    names: list[_Name],
    items: Sequence[Item],
    clause: Clause,
    object_place: str,
    *,
    no: bool,
    rejecting: bool,
    outside: frozenset[int],
) -> None:
    """Apply a rejection that comes after its name: "Pampers is too expensive"."""
    if not names or any(name.rejected for name in names):
        return
    if rejecting:
        for name in names:
            name.rejected = not (found.strength and name.after)
    elif no and (object_place != "after" or not clause.unknown or _verb_after_not(items)):
        for name in names:
            name.rejected = name.alternative not in outside
            if name.rejected:
                found.closing = -1


def _verb_after_not(items: Sequence[Item]) -> bool:
    kinds = [item.kind for item in items]
    return any(kind in _VERBS for kind in kinds[kinds.index("not") :])


def _once(values: Iterable[int]) -> list[int]:
    return list(dict.fromkeys(values))
