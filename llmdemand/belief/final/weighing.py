"""From clauses to the choice of the whole text, or to none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from llmdemand.belief.final.lexicon import lexicon
from llmdemand.belief.final.reading import Setting
from llmdemand.belief.final.said import DECISION, NAME, VERDICT, Said, Speaker, said
from llmdemand.belief.final.scan import MENTION, Clause
from llmdemand.belief.words import ORDINARY
from llmdemand.core.menu import Alternative, Menu, fold

__all__ = ["weigh"]

_REASONS = {NAME: "name", DECISION: "decision", VERDICT: "verdict"}
_QUESTIONS = frozenset("?\uff1f")
_HEADED = frozenset(":\uff1a-\u2013\u2014")
_ANEW = frozenset({"turn", "correct", "split", ";", "\uff1b"})  # end conditions and other people
_OVERRIDES = frozenset({"turn", "correct"})
_SEVERAL = -2  # a decision for more than one alternative
_FEW = 3  # words that may stand between a heading and the name
_FEWER = 2  # words that a heading may hold besides its own


@dataclass(slots=True)
class _Decision:
    alternative: int
    strength: int
    clause: int
    place: int
    head: bool = False  # a name before a colon or a dash, as in a list
    led: bool = False  # "for quality I'd choose ...": another one may follow for another end


def weigh(
    clauses: Sequence[Clause], menu: Menu, language: str, setting: Setting, *, heading: bool = False
) -> tuple[int | None, str, tuple[int, int]]:
    """The alternative that the clauses decide for.

    Parameters
    ----------
    clauses : sequence of Clause
        See `llmdemand.belief.final.scan.clauses`.
    menu, language, setting
        As for the reader.
    heading : bool
        Whether the text follows a heading such as "Answer:".

    Returns
    -------
    (int or None, str, (int, int))
        Index of the alternative, the reason, and the place of the clause that says it.
    """
    text = _Text(menu, language, setting, VERDICT if heading else 0)
    for index, (clause, asked) in enumerate(zip(clauses, _asked(clauses), strict=True)):
        text.read(clause, index, asked=asked, last=index == len(clauses) - 1)
    found = text.current
    if found is not None and found.head and len(text.heads) > 1:
        found = None  # headings of a list
    if text.conflict:
        return None, "conflict", (0, 0)
    if text.refused and (found is None or found.strength < DECISION):
        return None, "refusal", (0, 0)
    if found is None:
        if text.only_outside and not setting.cut:
            return text.outside, "name", (0, clauses[-1].end)
        return None, "cut" if setting.cut else "undecided", (0, 0)
    clause = clauses[found.clause]
    return found.alternative, _REASONS[found.strength], (clause.start, clause.end)


def _asked(clauses: Sequence[Clause]) -> list[bool]:
    """Whether each clause belongs to a question."""
    found, asked = [False] * len(clauses), False
    for index in range(len(clauses) - 1, -1, -1):
        if clauses[index].ender in _QUESTIONS:
            asked = True
        elif index + 1 < len(clauses) and clauses[index + 1].first:
            asked = False
        found[index] = asked
    return found


def _is_word(alternative: Alternative) -> bool:
    """Whether it is written as an ordinary word alone, such as "no", which "it" never means."""
    return all(fold(form) in ORDINARY for form in alternative.forms)


class _Text:
    """What is known while the clauses go by."""

    def __init__(self, menu: Menu, language: str, setting: Setting, pending: int) -> None:
        self.menu, self.setting = menu, setting
        self.object_place = lexicon(language).object
        self.outsiders = frozenset(k for k, a in enumerate(menu) if a.outside)
        #: The outside option where there is one alone, else -1.
        self.outside = next(iter(self.outsiders)) if len(self.outsiders) == 1 else -1
        self.current: _Decision | None = None
        self.conflict = self.refused = self.doubted = False
        self.heads: set[int] = set()
        self._speaker = Speaker()
        self._pending = pending  # strength of a decision whose name is still to come
        self._override = -1  # place of the last word that lets a later decision count
        self._sentence: list[int] = []  # alternatives named in this sentence, once each
        self._before: list[int] = []  # and in the last one that named any
        self._sentence_start = 0
        self._spoken = False  # whether the sentence has said something else already
        self._named: set[int] = set()
        self._outside_said = False  # whether the outside option is what a sentence speaks of

    @property
    def only_outside(self) -> bool:
        """Whether nothing but the outside option is spoken of: "Neither appeals to me."."""
        return self._outside_said and self._named == {self.outside} and not self.doubted

    def read(self, clause: Clause, index: int, *, asked: bool, last: bool) -> None:
        """Take in one clause, which may be part of a question or the last one."""
        if clause.first:
            self._begin_sentence(clause)
        if clause.opener in _ANEW:
            self._speaker.condition = self._speaker.others = False
            if clause.opener in _OVERRIDES:
                self._override, self._spoken = clause.start, False
            self._speaker.subject |= clause.opener == "split"
        if not clause.items:
            if clause.unknown:
                self._spoken = True
                if self._pending == VERDICT and not clause.ender:
                    self._pending = 0
            return
        self._remember(clause)
        found = said(clause, self._speaker, self.object_place, self.outsiders, self._referred)
        if found.conditional:
            self._withdraw()
        conditional = asked or self._speaker.condition
        if not conditional:
            self._take_back(clause, found)
        if conditional or found.void:
            self._leave(found)
            return
        strength, alternative = self._decided(clause, found, index)
        if alternative == -1:
            return
        open_end = self.setting.cut and last and not clause.ender
        if open_end or (strength == NAME and self.setting.cut):
            return
        head = strength == NAME and clause.ender in _HEADED
        if head:
            self.heads.add(alternative)
            self._spoken = True
        led = clause.items[0].kind == "scene_first"
        self._enter(_Decision(alternative, strength, index, clause.start, head, led))

    def _begin_sentence(self, clause: Clause) -> None:
        self._before = self._sentence or self._before
        self._sentence, self._sentence_start, self._spoken = [], clause.start, False
        self._speaker = Speaker()
        if self._pending == DECISION:
            self._pending = 0

    def _remember(self, clause: Clause) -> None:
        for kind, alternative, _ in clause.items:
            if kind == MENTION and alternative not in self._sentence:
                self._sentence.append(alternative)
        self._named.update(self._sentence)

    def _take_back(self, clause: Clause, found: Said) -> None:
        """A rejection of what was decided before."""
        rejected = list(found.rejected)
        if (
            "reject" in found.kinds
            and not found.live
            and not rejected
            and "both" not in found.kinds
        ):
            # "They are too expensive": of the only one that was named last.
            unit = self._sentence or self._before
            rejected = unit if len(unit) == 1 else []
        current = self.current
        if current is not None and current.alternative in rejected and current.place < clause.start:
            self.current = None

    def _withdraw(self) -> None:
        """A condition that follows takes back what its sentence decided."""
        current = self.current
        if current is not None and current.place >= max(self._sentence_start, self._override):
            self.current = None

    def _leave(self, found: Said) -> None:
        """A clause in which nothing decides."""
        if "unsure" in found.kinds:
            self.doubted = True
            if self.current is not None and self.current.strength < VERDICT:
                self.current = None
        self.refused |= "refuse" in found.kinds
        parallel = "scene_first" in found.kinds and found.live
        if parallel and self.current is not None and self.current.led:
            self.current = None
        self._spoken |= not found.scene

    def _decided(self, clause: Clause, found: Said, index: int) -> tuple[int, int]:
        """Strength and alternative that a clause decides for; alternative -1 if it does not."""
        several = "both" in found.kinds and not found.live
        nothing = "nothing" in found.kinds or (several and found.negated and not found.rejected)
        if nothing and self.outside >= 0 and not found.live:
            decided = DECISION, self.outside
        elif found.closing >= 0:
            decided = DECISION, found.closing
        elif found.strength:
            if several and not found.negated:
                decided = found.strength, _SEVERAL
            elif found.objects:
                one = len(found.objects) == 1
                decided = found.strength, found.objects[0] if one else _SEVERAL
            else:
                if MENTION not in found.kinds and not found.negated:
                    self._pending = max(self._pending, found.strength)
                return 0, -1
        elif self._pending and len(found.live) == 1 and clause.lead <= _FEW:
            decided = self._pending, found.live[0]
        elif len(found.live) == 1 and not clause.unknown and not found.negated and not self._spoken:
            decided = NAME, found.live[0]
        else:
            self._undecided(clause, found, index)
            return 0, -1
        self._pending = 0
        return decided

    def _undecided(self, clause: Clause, found: Said, index: int) -> None:
        if "verdict" in found.kinds and MENTION not in found.kinds:
            if clause.unknown <= _FEWER and (clause.ender in _HEADED or clause.ender == "\n"):
                self._pending = VERDICT
            return
        current = self.current
        goes_on = clause.opener == "," and not clause.lead and found.live
        if goes_on and current is not None and current.clause == index - 1:
            self.current = None if current.strength == NAME else current  # "bus, taxi or train"
        self._spoken |= bool(found.live) or not found.negated
        self._outside_said |= clause.items[0].alternative == self.outside >= 0
        if self._pending == VERDICT and clause.unknown and not found.rejected:
            self._pending = 0

    def _enter(self, new: _Decision) -> None:
        """Weigh a decision against the one before."""
        old = self.current
        if new.alternative == _SEVERAL:
            if old is None or new.strength >= old.strength:
                self.current, self.conflict = None, True
            return
        later = self._override >= 0 and new.strength >= DECISION
        self.conflict &= not (new.strength == VERDICT or later)
        if old is None or old.alternative == new.alternative:
            self.current = old if old is not None and old.strength > new.strength else new
        elif self._override > old.place or new.strength in (VERDICT, old.strength + 1):
            self.current = new
        elif new.head and old.strength > NAME:
            pass  # a list of reasons after the decision
        elif old.head and new.head:
            self.current = new
        else:
            self.conflict = True

    def _referred(self, kind: str) -> int:
        """The alternative that "the latter", "the cheaper one" or "them" means; -1 if uncertain."""
        menu, unit = self.menu, self._sentence or self._before
        if kind in ("cheaper", "dearer"):
            return self._by_price(kind == "cheaper")
        if kind == "pronoun":
            one = len(unit) == 1 and not _is_word(menu.alternatives[unit[0]])
            return unit[0] if one else -1
        if kind == "other":
            inside = [k for k in range(len(menu)) if k not in self.outsiders]
            left = [k for k in inside if k not in unit]
            return left[0] if len(inside) == 2 and len(left) == 1 else -1
        last = kind in ("latter", "second")
        if not unit and kind != "latter" and len(self.setting.order) > 1:
            return menu.index(self.setting.order[last])
        return unit[last] if len(unit) == 2 else -1

    def _by_price(self, cheapest: bool) -> int:
        given = self.setting.prices or {}
        prices = {k: given[a.id] for k, a in enumerate(self.menu) if a.id in given}
        if len(prices) < 2:
            return -1
        best = (min if cheapest else max)(prices.values())
        same = [k for k, price in prices.items() if price == best]
        return same[0] if len(same) == 1 else -1
