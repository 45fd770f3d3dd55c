"""Requests found by their keys, in a few bytes each."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from llmdemand.core.study import Study
from llmdemand.simulation.backend import Request
from llmdemand.simulation.requests import Asked
from llmdemand.simulation.storing.earlier import Earlier
from llmdemand.simulation.storing.records import Source, key
from llmdemand.simulation.storing.store import Store

__all__ = ["AskedKeys", "Found"]


@dataclass(frozen=True, slots=True)
class Found:
    """A request of a batch.

    Attributes
    ----------
    request : Request
        What was asked.
    content : str
        What its run is shown; empty of a request that an earlier version wrote.
    study : str
        Hash of the study that asks it.
    """

    request: Request
    content: str
    study: str


class AskedKeys:
    """The requests of a study, and of all that it was, by their keys.

    Answers to what a study was may still be under way, so they are among them. Memory holds 16
    bytes a request: the beginning of its key, and where it stands; it is made again when it is
    found, and its whole key compared.

    Parameters
    ----------
    study, runs, seed
        What the batch asks.
    store : Store
        The answers of its folder, with the studies that it was.
    source : Source
        Who is asked.
    """

    def __init__(self, study: Study, runs: int, seed: int, store: Store, source: Source) -> None:
        self._source = source
        was = [s for s in store.all_studies() if s.hash != study.hash]
        self._asked = [
            (s, Asked(s, runs, seed), Earlier(s, seed, store, source, always=True))
            for s in (*was, study)
        ]
        begins, places = array("Q"), array("q")
        for number, (_, asked, _) in enumerate(self._asked):
            for position in range(len(asked)):
                for _, name in self._variants(number, position):
                    begins.append(int(name[:16], 16))
                    places.append(position * len(self._asked) + number)
        found = np.frombuffer(begins, np.uint64)
        order = np.argsort(found, kind="stable")
        self._begins, self._places = found[order], np.frombuffer(places, np.int64)[order]

    def _variants(self, number: int, position: int) -> Iterator[tuple[Found, str]]:
        """A run as it is asked now and as earlier versions asked it, with its keys."""
        study, asked, earlier = self._asked[number]
        request = asked[position]
        content = study.shown(request.cell, request.order)
        yield Found(request, content, study.hash), key(request, self._source)
        for before in earlier.requests(request):
            yield Found(before, "", study.hash), key(before, self._source)

    def get(self, name: str) -> Found | None:
        """The request with a key: as the study asks it now where several do."""
        try:
            begin = np.uint64(int(name[:16], 16))
        except ValueError:
            return None
        first, last = (np.searchsorted(self._begins, begin, side) for side in ("left", "right"))
        # The study itself has the highest number.
        for place in sorted(
            self._places[first:last].tolist(), key=lambda p: p % len(self._asked), reverse=True
        ):
            position, number = divmod(place, len(self._asked))
            for found, known in self._variants(number, position):
                if known == name:
                    return found
        return None
