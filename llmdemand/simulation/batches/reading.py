"""Output files of a batch: into its store, and from there to a panel in parts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from llmdemand.belief.files.documents import spans
from llmdemand.core.shards.part import part_name
from llmdemand.core.shards.shards import PanelShards
from llmdemand.core.study import Study
from llmdemand.errors import ResponseError, UsageError
from llmdemand.scale.merging import mapped
from llmdemand.scale.session import Session
from llmdemand.simulation.backends.openai import OpenAIBackend
from llmdemand.simulation.backends.replayed import Replayed
from llmdemand.simulation.backends.wire.bodies import Parsed
from llmdemand.simulation.batches.asked import AskedKeys
from llmdemand.simulation.batches.entries import answer_in, entries
from llmdemand.simulation.storing.records import Source, Stored
from llmdemand.simulation.storing.store import Store

__all__ = ["Answers", "write_parts"]

_PIECE = 1 << 21  # bytes of answers that are read at a time
_Span = tuple[Path, int, int]
#: The request that a line answers, its answer, and the reason where there is none.
_Line = tuple[str, Parsed | None, str]


@dataclass(frozen=True)
class _Lines:
    """Reads the lines of a part of a file; None for one that cannot be read."""

    backend: OpenAIBackend

    def __call__(self, span: _Span) -> list[_Line | None]:
        return [
            None if e is None else (str(e.get("custom_id")), *answer_in(e, self.backend))
            for e in entries(*span)
        ]


class Answers:
    """Brings output files into a store, and counts.

    Parameters
    ----------
    backend : OpenAIBackend
        Whose answers they are.
    store : Store
        Where they go.
    asked : AskedKeys
        The requests of the batch.
    """

    def __init__(self, backend: OpenAIBackend, store: Store, asked: AskedKeys) -> None:
        self._backend, self._store, self.asked = backend, store, asked
        self._source = Source.of(backend)
        self.counts: Counter[str] = Counter()
        self.failed: Counter[str] = Counter()

    def read(self, files: list[Path], folder: Path, session: Session) -> None:
        """Read all files, a few lines at a time; their answers are stored in their order.

        Raises
        ------
        ResponseError
            If a file is missing, or holds lines of which none answers the batch in `folder`.
        """
        counted: dict[Path, Counter[bool]] = {file: Counter() for file in files}
        pieces, file = [(f, *span) for f in counted for span in spans(_there(f), _PIECE)], None
        found = mapped(_Lines(self._backend), pieces, session)
        for (path, *_), lines in zip(pieces, found, strict=True):
            if file is not None and path != file:
                _known(file, counted[file], folder)
            file = path
            self._store_all(lines, counted[file])
        if file is not None:
            _known(file, counted[file], folder)

    def _store_all(self, lines: list[_Line | None], counted: Counter[bool]) -> None:
        answers = list(self._answers(lines, counted))
        new = self._store.put_all((self._source, stored) for stored in answers)
        self.counts.update({"answered": new, "known": len(answers) - new})

    def _answers(self, lines: list[_Line | None], counted: Counter[bool]) -> Iterator[Stored]:
        """The answers to requests of the batch; lines are counted by whether they are to one."""
        for line in lines:
            found = None if line is None else self.asked.get(line[0])
            counted[found is not None] += 1
            if line is None or found is None:
                self.counts["unreadable" if line is None else "foreign"] += 1
                continue
            name, raw, reason = line
            if raw is None:
                self.failed[reason] += 1
                continue
            usage, prices = raw.response.usage, self._backend.prices
            counts = (usage.get(k) or 0.0 for k in ("prompt_tokens", "completion_tokens"))
            read, wrote = map(float, counts)
            request = found.request
            yield Stored(
                name,
                request.sampling.top_logprobs,
                request.run_id,
                found.study,
                raw,
                found.content,
                ">".join(request.order),
                read,
                wrote,
                prices.usd(read, wrote) / 2 if prices else float("nan"),
            )


def _there(file: Path) -> Path:
    if not file.is_file():
        raise ResponseError(f"no file at {file}: give the batch's output or error file")
    return file


def _known(file: Path, counted: Counter[bool], folder: Path) -> None:
    if counted[False] and not counted[True]:
        raise ResponseError(
            f"{file} holds {counted[False]} lines and none of them answers the batch in {folder}: "
            "give the output or error file of its shards"
        )


@dataclass(frozen=True)
class _Writing:
    """Writes one part of a panel, by its number; gives the runs that it lacks."""

    study: Study
    backend: OpenAIBackend
    store: Path
    runs: int
    seed: int
    out: Path
    rows: int
    of: int

    def __call__(self, number: int) -> list[str]:
        with Store(self.store) as store:
            replayed = Replayed(self.study, self.backend, store, runs=self.runs, seed=self.seed)
            panel, missing = replayed.numbered(number, self.rows)
        panel.write(self.out / part_name(number, self.of))
        return missing


def write_parts(
    study: Study,
    backend: OpenAIBackend,
    store: Path,
    *,
    runs: int,
    seed: int,
    out: Path,
    rows: int,
    session: Session,
) -> tuple[PanelShards, list[str]]:
    """The panel of a store as a folder of parts, and the runs that are missing.

    Raises
    ------
    UsageError
        If the folder holds other files than parts of this number.
    """
    if rows < 1:
        raise UsageError(f"rows={rows}: give a number of runs from 1")
    if out.exists() and not out.is_dir():
        raise UsageError(f"--out {out} is a file: give a folder for the panel's parts")
    with Store(store) as opened:
        of = max(1, -(-len(Replayed(study, backend, opened, runs=runs, seed=seed)) // rows))
    own = {part_name(number, of) for number in range(1, of + 1)}
    foreign = sorted(p.name for p in out.glob("*.parquet") if p.name not in own)
    if foreign:
        raise UsageError(
            f"--out {out} holds {foreign[0]}, which is no part of a panel in {of} files: give a "
            "new folder"
        )
    work = _Writing(study, backend, store.absolute(), runs, seed, out.absolute(), rows, of)
    missing = [name for some in mapped(work, range(1, of + 1), session) for name in some]
    return PanelShards.open(out), missing
