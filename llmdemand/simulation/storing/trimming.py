"""Stored answers with fewer candidates: the drawn token and the most likely ones."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from llmdemand.belief.readers import read_response
from llmdemand.belief.rows import Answer, PanelBuilder
from llmdemand.core.line import OneLine
from llmdemand.core.panel import TRIMMED
from llmdemand.core.study import Study
from llmdemand.errors import LLMDemandError, ResponseError, UsageError
from llmdemand.simulation.storing.records import MARK, Source, Stored
from llmdemand.simulation.storing.store import Store, is_store

__all__ = ["StoreTrimmed", "Trimmer", "trim_store", "trimmed"]

_LISTS = ("top_logprobs", "top_probs")
# Marks of answers with others beside them: branches continue what is listed.
_APART = frozenset({"plan", "branch_of", "thoughts"})


@dataclass(frozen=True, slots=True, repr=False)
class StoreTrimmed(OneLine):
    """What came of it.

    Attributes
    ----------
    answers : int
        In both stores.
    trimmed : int
        Of these, with fewer candidates now.
    whole : int
        Of these, kept as they were: their row would not have been the same, they branch, think
        or have no pivot, their form is not known, or nothing was to be left out.
    keep : int
        Candidates that were kept at a position.
    """

    answers: int
    trimmed: int
    whole: int
    keep: int

    def summary(self) -> str:
        """In one line."""
        return (
            f"{self.trimmed:,} of {self.answers:,} answers trimmed to the drawn token and the "
            f"{self.keep} most likely, their pivots whole; {self.whole:,} kept as they were. "
            "Another menu or reading may find less in them"
        )


def trim_store(path: str | Path, out: str | Path, keep: int) -> StoreTrimmed:
    """Write a store anew, with fewer candidates where they decide nothing.

    At every position but the pivot's the drawn token and the `keep` most likely candidates stay.
    Each answer is extracted before and after by the study that asked it: where one bit of its
    row differs, it is kept whole. What is lost is what another menu, measure or reading might
    have found at another position: keep the old store as long as that is wanted.

    Parameters
    ----------
    path : path
        A store; it stays as it is.
    out : path
        The new one.
    keep : int
        Candidates for each position, at least 1.

    Raises
    ------
    UsageError
        If `path` is no store, `out` exists, or `keep` is below 1.
    StoreError
        If an answer is damaged; nothing is written then.
    """
    if keep < 1:
        raise UsageError(f"keep={keep}: keep at least one candidate")
    if not is_store(path):
        raise UsageError(f"{path} is no response store: give a .sqlite file")
    out = Path(out)
    if out.exists():
        raise UsageError(f"{out} exists already: give another path; nothing is overwritten")
    try:
        with Store(path) as source, Store(out) as target:
            for study in source.all_studies():
                target.put_study(study)
            probes = {who: source.probe(who) for who in source.sources()}
            for who, found in probes.items():
                if found is not None:
                    target.put_probe(who, found)
            work = _Trimming(source, probes, keep)
            target.put_all(work.entries())
    except BaseException:
        for name in (out.name, f"{out.name}-wal", f"{out.name}-shm"):
            out.with_name(name).unlink(missing_ok=True)
        raise
    return StoreTrimmed(work.answers, work.trimmed, work.answers - work.trimmed, keep)


def trimmed(raw: Mapping[str, Any], keep: int, whole: int) -> tuple[dict[str, Any], int]:
    """A raw answer with fewer candidates, and its positions that lists were found for.

    Known are the lists of Chat Completions, Completions, Responses, llama.cpp, and our short
    form; others stay as they are.

    Parameters
    ----------
    raw : mapping
        As a backend yielded it.
    keep : int
        Candidates to keep beside the drawn token.
    whole : int
        The position whose list stays.

    Examples
    --------
    >>> raw = {"tokens": [["A", -2.4, [["B", -0.1], ["C", -2.5], ["A", -2.4]]]]}
    >>> trimmed(raw, 1, -1)
    ({'tokens': [['A', -2.4, [['B', -0.1], ['A', -2.4]]]]}, 1)
    """
    cut = _Cut(keep, whole)
    return dict(cut.node(raw)), cut.position


class _Cut:
    def __init__(self, keep: int, whole: int) -> None:
        self._keep, self._whole, self.position = keep, whole, 0

    def node(self, node: Any) -> Any:
        if isinstance(node, Mapping):
            tokens, lists = node.get("tokens"), node.get("top_logprobs")
            if isinstance(tokens, list) and isinstance(lists, list):
                own = [self._by_text(t, x) for t, x in zip(tokens, lists, strict=True)]
                return {**node, "top_logprobs": own}
            if isinstance(tokens, list) and all(isinstance(t, list) for t in tokens):
                return {**node, "tokens": [self._short(*token) for token in tokens]}
            return {name: self.node(value) for name, value in node.items()}
        if not isinstance(node, list):
            return node
        if node and all(isinstance(e, dict) and any(n in e for n in _LISTS) for e in node):
            return [self._entry(entry) for entry in node]
        return [self.node(value) for value in node]

    def _kept(self, listed: list[Any], values: list[Any], drawn: list[bool]) -> list[Any]:
        here, self.position = self.position, self.position + 1
        if here == self._whole:
            return listed
        ranked = sorted(range(len(listed)), key=lambda k: -values[k])[: self._keep]
        return [c for k, c in enumerate(listed) if drawn[k] or k in ranked]

    def _short(self, data: Any, value: Any, listed: list[Any]) -> list[Any]:
        own = [c[0] == data for c in listed]
        return [data, value, self._kept(listed, [c[1] for c in listed], own)]

    def _by_text(self, token: str, listed: dict[str, Any] | None) -> dict[str, Any] | None:
        pairs = list((listed or {}).items())
        kept = self._kept(pairs, [v for _, v in pairs], [t == token for t, _ in pairs])
        return None if listed is None else dict(kept)

    def _entry(self, entry: dict[str, Any]) -> dict[str, Any]:
        name = next(n for n in _LISTS if n in entry)
        listed = entry[name] or []
        values = [c["logprob"] if "logprob" in c else c["prob"] for c in listed]
        drawn = [all(c.get(n) == entry.get(n) for n in ("token", "id", "bytes")) for c in listed]
        kept = self._kept(listed, values, drawn)
        return {**entry, name: kept if listed else entry[name]}


class Trimmer:
    """Leaves candidates out of answers to one study, where that changes no bit of their rows.

    Parameters
    ----------
    builder : PanelBuilder
        Reads them as the panel does.
    keep : int
        Candidates to keep at a position, beside the drawn token.
    """

    def __init__(self, builder: PanelBuilder, keep: int) -> None:
        self._builder, self._keep = builder, keep

    def __call__(
        self, raw: Mapping[str, Any], answer: Answer
    ) -> tuple[Mapping[str, Any], dict[str, Any]]:
        """A raw answer as it is to be stored, whole if need be, and its row, the same in any case.

        Parameters
        ----------
        raw : mapping
            As a backend yielded it.
        answer : Answer
            What it says.
        """
        row = self._builder.row(answer)
        less = self._less(raw, answer, row)
        return (raw, row) if less is None else (less, {**row, TRIMMED: True})

    def _less(
        self, raw: Mapping[str, Any], answer: Answer, row: dict[str, Any]
    ) -> dict[str, Any] | None:
        if row["pivot_index"] is None or not _APART.isdisjoint(raw):
            return None
        try:
            less, positions = trimmed(raw, self._keep, int(row["pivot_index"]))
            less[MARK] = self._keep
            tokens = answer.response.tokens
            if positions != len(tokens) or {**less, MARK: 0} == {**raw, MARK: 0}:
                return None
            again = self._builder.row(replace(answer, response=read_response(less)))
        except (ResponseError, KeyError, TypeError, ValueError):
            return None  # of a form that is not known here
        # Their text holds every bit of a number, and a NaN is no equal of itself.
        same = repr({**again, TRIMMED: True}) == repr({**row, TRIMMED: True})
        return less if same else None


class _Trimming:
    def __init__(
        self, store: Store, probes: Mapping[Source, Mapping[str, Any] | None], keep: int
    ) -> None:
        self._store, self._probes, self._keep = store, probes, keep
        self._trimmers: dict[tuple[Source, str], tuple[Study, Trimmer] | None] = {}
        self.answers = self.trimmed = 0

    def entries(self) -> Iterator[tuple[Source, Stored]]:
        for source, stored in self._store.entries():
            raw = self._raw(source, stored)
            self.answers += 1
            self.trimmed += raw is not stored.raw
            yield source, replace(stored, raw=raw)

    def _raw(self, source: Source, stored: Stored) -> Mapping[str, Any]:
        known = self._trimmer(source, stored.study)
        if known is None or not stored.order:
            return stored.raw
        study, trimmer = known
        try:
            response = read_response(stored.raw)
            index, replicate = map(int, stored.run_id.split("-"))
            answer = Answer(study.cell(index), replicate, tuple(stored.order.split(">")), response)
            return trimmer(stored.raw, answer)[0]
        except (LLMDemandError, ValueError):
            return stored.raw  # of a form that is not known here

    def _trimmer(self, source: Source, hash_: str) -> tuple[Study, Trimmer] | None:
        at = source, hash_
        if at not in self._trimmers:
            study, found = self._store.study(hash_), self._probes.get(source) or {}
            before = found.get("before_temperature")
            known = source.raw_logprobs if before is None else bool(before)
            self._trimmers[at] = None
            if study is not None:
                builder = PanelBuilder(study, raw_logprobs=known)
                self._trimmers[at] = study, Trimmer(builder, self._keep)
        return self._trimmers[at]
