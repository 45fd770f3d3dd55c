"""What extracting many files will take, measured on the first answers."""

from __future__ import annotations

import time
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from llmdemand.belief.files.answers import answers_in
from llmdemand.belief.files.documents import documents
from llmdemand.belief.rows import PanelBuilder
from llmdemand.core.study import Study

__all__ = ["Expected", "expected"]

_SAMPLE = 200
_OPEN = (".gz", ".zst", ".zstd")


@dataclass(frozen=True, slots=True)
class Expected:
    """What extracting will take, by one worker, if all answers are as the first ones.

    Attributes
    ----------
    files, bytes : int
        As they lie on disk.
    answers : int
        In all, about.
    seconds : float
        Of one processor.
    """

    files: int
    bytes: int
    answers: int
    seconds: float

    def told(self, workers: int) -> str:
        """In words, for so many workers."""
        minutes = self.seconds / max(workers, 1) / 60
        takes = f"about {minutes:.0f} minutes" if minutes >= 2 else "less than two minutes"
        return (
            f"{self.files:,} files, {self.bytes / 1e6:,.1f} MB: some {self.answers:,} answers, "
            f"{takes} with {workers} at work (by the first {_SAMPLE})"
        )


def expected(files: Sequence[str], study: Study, *, low_mass: float = 0.05) -> Expected:
    """Extract the first answers of the first file, and keep the time.

    Sizes of compressed files are compared with the sample's, compressed.

    Raises
    ------
    ResponseError
        If they cannot be read.
    """
    path, builder = Path(files[0]), PanelBuilder(study, low_mass=low_mass)
    read = [data for _, data in islice(documents(path), _SAMPLE)]
    found = ((f"line {k}", data) for k, data in enumerate(read, 1))
    start, made = time.process_time(), 0
    for made, answer in enumerate(answers_in(found, path, study), 1):  # noqa: B007  # counted
        builder.row(answer)
    spent = (time.process_time() - start) / max(made, 1)
    sample = b"".join(read)
    plain = len(sample) / max(made, 1)
    packed = plain * len(zlib.compress(sample)) / len(sample)
    sizes = [(Path(f).stat().st_size, Path(f).suffix in _OPEN) for f in files]
    answers = sum(size / (packed if opened else plain) for size, opened in sizes)
    return Expected(len(files), sum(s for s, _ in sizes), round(answers), answers * spent)
