"""A streaming pool of calls that finds by itself how many a server takes at a time."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import TypeVar

from llmdemand.errors import BackendError, TransportError

__all__ = ["Gate", "Pace", "Retries", "stream"]

Job = TypeVar("Job")

_log = logging.getLogger(__name__)

_SHRINK = 0.8
# Answers this much slower than the fastest wait in the server's queue, not in ours.
_QUEUED = 4.0
_SMOOTH = 0.1


class Gate:
    """How many calls may be in flight.

    The number starts at `start`, grows by one with every answer until the server
    first asks for fewer (it then doubles about once per round trip), by one per
    round trip after that, and shrinks to 80 % at every such request; calls that
    were under way when it shrank do not shrink it again. It stops growing while
    answers take four times as long as the fastest did: more calls would only wait
    in the server's queue.

    Parameters
    ----------
    most : int
        Never more than this.
    start : int
        At the beginning; equal to `most` it is fixed until the server objects.
    """

    def __init__(self, most: int, start: int = 4) -> None:
        self.most = max(1, most)
        self.limit = float(min(max(1, start), self.most))
        self.in_flight = 0
        self._limited = False
        self._cut = float("-inf")
        self._closed_until = 0.0
        self._latency = self._fastest = 0.0
        self.changed = asyncio.Event()
        self._failed = asyncio.Event()

    async def enter(self) -> None:
        """Wait for a place; after a failure there is one at once, as nothing will follow."""
        while not self.failed:
            await self.opened()
            if self.failed or self.in_flight < int(self.limit):
                break
            self.changed.clear()
            await self.changed.wait()
        self.in_flight += 1

    async def opened(self) -> None:
        """Wait until the server may be asked again at all."""
        while (pause := self._closed_until - time.monotonic()) > 0 and not self.failed:
            await self.sleep(pause)

    async def sleep(self, seconds: float) -> None:
        """Sleep, but not beyond a failure that ends the whole run."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._failed.wait(), seconds)

    @property
    def failed(self) -> bool:
        """Whether a job has failed, so that no other should begin or be repeated."""
        return self._failed.is_set()

    def fail(self) -> None:
        """End all waiting."""
        self._failed.set()
        self.changed.set()

    def leave(self) -> None:
        """Give the place back."""
        self.in_flight -= 1
        self.changed.set()

    def succeeded(self, seconds: float) -> None:
        """Count an answer and how long it took."""
        self._latency += (_SMOOTH if self._latency else 1.0) * (seconds - self._latency)
        self._fastest = min(self._fastest or self._latency, self._latency)
        if self._latency <= _QUEUED * self._fastest:
            self.limit = min(self.most, self.limit + (1 / self.limit if self._limited else 1.0))
            self.changed.set()

    def objected(self, begun: float, wait: float) -> None:
        """The server asks for fewer calls: shrink, and start none before `wait` is over."""
        now = time.monotonic()
        self._closed_until = max(self._closed_until, now + wait)
        if begun > self._cut:
            self.limit = max(1.0, self.limit * _SHRINK)
            self._cut, self._limited = now, True
            _log.info("the server asks for fewer calls: %d at a time now", int(self.limit))


class Pace:
    """Calls and tokens per minute, spread evenly.

    Parameters
    ----------
    rpm, tpm : float, optional
        Most requests and most tokens per minute; no limit by default.
    """

    def __init__(self, rpm: float | None = None, tpm: float | None = None) -> None:
        self._per_call = 60 / rpm if rpm else 0.0
        self._per_token = 60 / tpm if tpm else 0.0
        self._free_at = 0.0

    async def wait(self, tokens: float) -> None:
        """Wait for the turn of a call that may use this many tokens."""
        if not (self._per_call or self._per_token):
            return
        now = time.monotonic()
        turn = max(now, self._free_at)
        self._free_at = turn + max(self._per_call, self._per_token * tokens)
        await asyncio.sleep(turn - now)

    def correct(self, expected: float, used: float) -> None:
        """Give back what a call did not use."""
        if used > 0:  # nothing is known of a call whose server does not count
            before, after = (
                max(self._per_call, self._per_token * tokens) for tokens in (expected, used)
            )
            self._free_at += after - before


class Retries:
    """When a call that failed on its way is made again, and when no more.

    Parameters
    ----------
    patience : float
        Seconds without any answer from the server after which it counts as gone. A fifth of
        it where the server refuses in the same words every time and does not say for how
        long: it may be an account that is used up.
    first : float
        The same before the server has ever answered: a wrong address should not
        take minutes to be noticed.
    say : callable, optional
        Is told once what the server says, where it refuses like that.
    """

    ATTEMPTS = 12
    EQUAL = 3

    def __init__(
        self,
        patience: float = 300.0,
        first: float = 10.0,
        say: Callable[[str], None] | None = None,
    ) -> None:
        self._patience, self._first = patience, min(first, patience)
        self._answered: float | None = None
        self._say, self._words, self._equal = say, "", 0
        self._turn = asyncio.Lock()

    def answered(self) -> None:
        """The server has answered something."""
        self._answered, self._equal = time.monotonic(), 0

    @contextlib.asynccontextmanager
    async def turn(self, failed: TransportError | None) -> AsyncIterator[None]:
        """Wait for the turn of a call; one that was too slow is repeated when no other is.

        A server that takes longer than it is given may still be at work: what it has too
        much of is not asked of it again at once.
        """
        if failed is None or not failed.slow:
            yield
            return
        async with self._turn:
            yield

    def wait(self, error: TransportError, attempt: int, failing_since: float) -> float:
        """Seconds to wait before the next attempt; raises where there will be none.

        Exponential from half a second to a minute, less up to half by chance; never shorter
        than what the server asks for.

        Raises
        ------
        BackendError
            If the server has been silent for too long, asks to wait for longer
            than that, or fails on this call again and again while others succeed.
        """
        patience = self._patience_with(error)
        silent = time.monotonic() - max(failing_since, self._answered or 0.0)
        wait = max(error.retry_after, random.uniform(0.5, 1.0) * min(60.0, 0.5 * 2.0**attempt))
        if error.retry_after > self._patience:
            raise BackendError(
                f"{error}; it asks to wait {error.retry_after:.0f} s: run the same command again "
                "after that"
            ) from None
        stuck = attempt + 1 >= self.ATTEMPTS and not error.rate_limited
        if silent > patience or stuck:
            raise BackendError(
                f"{error} ({attempt + 1} attempts over {silent:.0f} s): run the same command to go "
                "on when it is back"
            ) from None
        _log.info("attempt %d failed, the next in %.1f s: %s", attempt + 1, wait, error)
        return wait

    def _patience_with(self, error: TransportError) -> float:
        """Seconds of silence that this trouble is given."""
        if error.rate_limited and not error.retry_after:
            words = re.sub(r"\d+", "0", str(error))
            self._equal = self._equal + 1 if words == self._words else 1
            self._words = words
            if self._equal >= self.EQUAL:
                short = self._patience / 5
                if self._equal == self.EQUAL and self._say is not None:
                    self._say(
                        f"{error}; it says so for the {self.EQUAL}rd time and not for how long, so "
                        f"it is asked for {short:.0f} s more (--patience is five times that); "
                        "Ctrl-C stops now, and the same command goes on"
                    )
                return short
        # A server that asks for fewer calls, or is slow, is there, whether it has answered or not.
        there = self._answered is not None or error.rate_limited or error.slow
        return self._patience if there else self._first


async def stream(
    jobs: Iterable[Job],
    work: Callable[[Job], Awaitable[None]],
    gate: Gate,
    admit: Callable[[Job], Awaitable[None]] | None = None,
    *,
    grace: float = 20.0,
    interrupted: Callable[[int, float], None] | None = None,
) -> None:
    """Do jobs, as many at a time as the gate lets in; each begins when one ends.

    Jobs are drawn one by one: nothing is collected, and no job waits for the
    slowest of a group. After a failure no job begins, those under way are
    finished (they may be paid for), and the first failure is raised. The same
    holds for a cancellation, where they have `grace` seconds.

    Parameters
    ----------
    jobs : iterable
        What is to be done, lazily.
    work : callable
        Coroutine function that does one job.
    gate : Gate
        Lets jobs in.
    admit : callable, optional
        Coroutine function that is awaited before each job; what it raises ends the
        stream.
    grace : float
        Seconds for jobs under way after a cancellation; a second one ends them.
    interrupted : function, optional
        Told of a cancellation, before the jobs under way are waited for: their number and `grace`.
    """
    running: set[asyncio.Task[None]] = set()
    failures: list[BaseException] = []

    def done(task: asyncio.Task[None]) -> None:
        running.discard(task)
        gate.leave()
        if not task.cancelled() and (error := task.exception()) is not None:
            failures.append(error)
            gate.fail()

    try:
        for job in jobs:
            if admit is not None:
                await admit(job)
            await gate.enter()
            if failures:
                gate.leave()
                break
            task = asyncio.ensure_future(work(job))
            running.add(task)
            task.add_done_callback(done)
        while running:
            await asyncio.wait(running)
            await asyncio.sleep(0)
    except asyncio.CancelledError:
        if running:
            if interrupted is not None:
                interrupted(len(running), grace)
            await asyncio.wait(running, timeout=grace)
        raise
    except BaseException as error:
        failures.append(error)
        if running:
            await asyncio.wait(running)
            await asyncio.sleep(0)
    finally:
        for task in running:
            task.cancel()
    if failures:
        raise failures[0]
