"""A share of a study's runs, for one of several machines that know nothing of each other."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from llmdemand.core.study import Study
from llmdemand.errors import UsageError

__all__ = ["Block", "Shard"]


@dataclass(frozen=True, slots=True)
class Block:
    """Neighbours among the runs that are wanted, which one of several processes computes.

    Attributes
    ----------
    first, end : int
        The first, and the one after the last.
    fresh : bool
        Whether the store was empty when the runs were divided: nothing is looked for.
    """

    first: int
    end: int
    fresh: bool


@dataclass(frozen=True, slots=True)
class Shard:
    """One of several shares of the runs of a study, numbered from 1.

    The runs of a cell are dealt out in turn; with whom a cell begins is drawn from what it asks
    (`Questionnaire.content`). So shards have equally many runs of each cell, to within one, and
    a run stays in its shard when the study grows: with more runs, other levels, in another order.
    No answer depends on the shard that asks for it.

    Attributes
    ----------
    number : int
        From 1, as part of file names: of an array of jobs that begins at 0, one more than the
        job's own.
    of : int
        Shards in all.

    Raises
    ------
    UsageError
        If there is no such shard.

    Examples
    --------
    >>> from llmdemand.core.study import load_study
    >>> study = load_study("pampers")
    >>> found = [list(Shard(k, 3).positions(study, runs=2)) for k in (1, 2, 3)]
    >>> sorted(p for own in found for p in own) == list(range(32))
    True
    """

    number: int
    of: int

    def __post_init__(self) -> None:
        given = (self.number, self.of)
        whole = all(isinstance(n, int) and not isinstance(n, bool) for n in given)
        if not whole or not 1 <= self.number <= self.of:
            zero = " (of an array of jobs from 0, give one more)" if self.number == 0 else ""
            raise UsageError(
                f"shard {self.number} of {self.of}: expected one from 1 to the number of "
                f"shards{zero}"
            )

    @classmethod
    def given(cls, value: Any) -> Shard | None:
        """A shard from ``(number, of)``; None is the whole study."""
        if value is None or isinstance(value, cls):
            return value
        try:
            number, of = value
        except (TypeError, ValueError):
            raise UsageError(
                f"shard={value!r}: expected its number and how many there are, as (7, 64)"
            ) from None
        return cls(number, of)

    def positions(self, study: Study, runs: int) -> Sequence[int]:
        """Its runs by their position in the design: `runs` times the cell's place, and replicate.

        Parameters
        ----------
        study : Study
            The design.
        runs : int
            Runs per cell.
        """
        found = array("q")
        for at, cell in enumerate(study.cells()):
            first = (self.number - 1 - int(study.content(cell), 16)) % self.of
            found.extend(range(at * runs + first, (at + 1) * runs, self.of))
        return found
