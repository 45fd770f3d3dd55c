"""Several servers of one model: calls go to the least busy that answers."""

from __future__ import annotations

import logging
import math
import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from llmdemand.errors import BackendError, TransportError
from llmdemand.simulation.backends.wire.endpoint import Endpoint
from llmdemand.simulation.backends.wire.server import Server

__all__ = ["Endpoints"]

_log = logging.getLogger(__name__)
# Seconds that a server rests which did not answer: doubled as long as it goes on not to.
_FIRST, _LONGEST = 1.0, 60.0


@dataclass(slots=True, eq=False)
class _Seat:
    """An endpoint and how it has done."""

    endpoint: Endpoint
    answers: int = 0
    failures: int = 0
    model: str = ""
    in_a_row: int = 0
    failed_at: float = -math.inf
    rests_until: float = 0.0


class Endpoints:
    """Servers that share the calls of a run.

    A call that fails on its way is the runner's to repeat; the endpoint that failed rests, so
    that it is then another's. After the rest one call tries it. Where all rest, the one whose
    rest ends first is asked.

    Parameters
    ----------
    servers : sequence of Server
        At least one; the first names the source of the answers.
    model : str
        Who is asked at each.
    """

    def __init__(self, servers: Sequence[Server], model: str) -> None:
        self._seats = [_Seat(Endpoint(server, model)) for server in servers]
        self.first = self._seats[0].endpoint

    @property
    def counts(self) -> dict[str, dict[str, int]]:
        """Answers and failed calls by address."""
        return {
            s.endpoint.place: {"answers": s.answers, "failed_calls": s.failures}
            for s in self._seats
        }

    async def post(
        self, path: str, body: Mapping[str, Any], *, plain: bool, wanted: int
    ) -> dict[str, Any]:
        """What one of the servers answers: see `OpenAIBackend.post`."""
        if len(self._seats) == 1:
            return await self.first.post(path, body, plain=plain, wanted=wanted)
        seat, begun = self._next(), time.monotonic()
        try:
            raw = await seat.endpoint.post(path, body, plain=plain, wanted=wanted)
        except TransportError as error:
            self._failed(seat, begun, error)
            raise
        if wanted:
            seat.answers += 1
            self._same_model(seat, raw)
        if seat.in_a_row:
            _log.info("%s answers again", seat.endpoint.place)
        seat.in_a_row = 0
        return raw

    def _next(self) -> _Seat:
        now = time.monotonic()
        # One that has failed is tried by one call.
        free = [
            s for s in self._seats if s.rests_until <= now and not (s.in_a_row and s.endpoint.busy)
        ]
        if free:
            return min(free, key=lambda seat: seat.endpoint.busy)
        return min(self._seats, key=lambda seat: (seat.rests_until, seat.endpoint.busy))

    def _failed(self, seat: _Seat, begun: float, error: TransportError) -> None:
        """Let an endpoint rest; calls that were under way when it began to count as one."""
        now = time.monotonic()
        first = not seat.in_a_row
        seat.failures += 1
        if begun > seat.failed_at:
            seat.in_a_row += 1
            rest = min(_LONGEST, _FIRST * 2.0 ** (seat.in_a_row - 1))
            seat.failed_at, seat.rests_until = now, now + max(rest, error.retry_after)
        others = sum(s.rests_until <= now and not s.in_a_row for s in self._seats)
        if not others:
            return
        # There is no need to wait for this one, nor to ask the others for less.
        error.rate_limited, error.retry_after = False, 0.0
        if first:
            warnings.warn(
                f"{error}: its calls go to the other{'' if others == 1 else f' {others}'} until it "
                "answers again",
                stacklevel=2,
            )

    def _same_model(self, seat: _Seat, raw: Mapping[str, Any]) -> None:
        """A panel is one model's: endpoints that name different ones are not mixed."""
        if seat.model:
            return
        # Of files the folders may differ from machine to machine.
        seat.model = PurePosixPath(str(raw.get("model") or "?")).name
        other = next((s for s in self._seats if s.model not in ("", "?", seat.model)), None)
        if other is not None and seat.model != "?":
            raise BackendError(
                f"{other.endpoint.place} answers as model {other.model!r} and "
                f"{seat.endpoint.place} as {seat.model!r}: endpoints that share a run serve one "
                "model; ask each by a run of its own"
            )

    async def close(self) -> None:
        """Close all connections; the next call opens new ones."""
        for seat in self._seats:
            await seat.endpoint.close()
