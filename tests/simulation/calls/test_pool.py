"""Concurrency, pace and retries by themselves, on a clock that the tests hold."""

import asyncio
import time

import pytest

from llmdemand.errors import BackendError, TransportError
from llmdemand.simulation.calls import pool
from llmdemand.simulation.calls.pool import Gate, Pace, Retries, stream


class Clock:
    """Time that passes only when somebody waits for it."""

    def __init__(self):
        self.now = 1000.0
        self.slept = []

    def monotonic(self):
        return self.now

    async def sleep(self, seconds):
        self.slept.append(seconds)
        self.now += max(0.0, seconds)


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(pool.time, "monotonic", clock.monotonic)
    return clock


@pytest.fixture
def no_chance(monkeypatch):
    monkeypatch.setattr(pool.random, "uniform", lambda a, b: b)


def test_the_gate_grows_by_one_an_answer_until_the_first_objection(clock):
    gate = Gate(100)
    assert gate.limit == 4
    for _ in range(10):
        gate.succeeded(0.1)
    assert gate.limit == 14


def test_the_gate_never_grows_beyond_its_most(clock):
    gate = Gate(6)
    for _ in range(10):
        gate.succeeded(0.1)
    assert gate.limit == 6
    assert Gate(2).limit == 2, "it starts no higher either"


def test_a_burst_of_objections_shrinks_the_gate_once_and_a_later_one_again(clock):
    gate = Gate(100, 50)
    begun = clock.now
    clock.now += 1
    for _ in range(20):
        gate.objected(begun, 0.0)
    assert gate.limit == pytest.approx(40)
    clock.now += 1
    gate.objected(clock.now - 0.5, 0.0)
    assert gate.limit == pytest.approx(32)


def test_the_gate_never_closes_for_good(clock):
    gate = Gate(100, 2)
    for _ in range(10):
        begun = clock.now = clock.now + 1
        gate.objected(begun, 0.0)
    assert gate.limit == 1


def test_after_an_objection_the_gate_grows_by_one_a_round_trip(clock):
    gate = Gate(100, 10)
    clock.now += 1
    gate.objected(clock.now, 0.0)
    assert gate.limit == 8
    for _ in range(8):
        gate.succeeded(0.1)
    assert 8.8 < gate.limit < 9


def test_the_gate_stops_growing_while_answers_wait_in_the_servers_queue(clock):
    gate = Gate(1000)
    for _ in range(5):
        gate.succeeded(0.1)
    grown = gate.limit
    for _ in range(100):
        gate.succeeded(1.0)
    # The mean of the last answers needs a few of them to notice.
    assert gate.limit < grown + 10


def test_a_server_that_asks_to_wait_stops_every_new_call_and_no_longer(clock, monkeypatch):
    monkeypatch.setattr(Gate, "sleep", lambda self, seconds: clock.sleep(seconds))
    gate = Gate(10, 10)
    gate.objected(clock.now, 7.0)
    gate.objected(clock.now, 3.0)

    async def enter():
        await gate.enter()

    asyncio.run(enter())
    assert clock.slept == [7.0] and gate.in_flight == 1


def test_a_failure_ends_all_waiting():
    # Calls that wait to be repeated must not hold back the message for minutes.
    async def main():
        gate = Gate(1)
        await gate.enter()
        gate.objected(time.monotonic(), 1000.0)
        waiting = [asyncio.ensure_future(c) for c in (gate.sleep(1000), gate.enter())]
        await asyncio.sleep(0.01)
        assert not any(task.done() for task in waiting)
        gate.fail()
        await asyncio.wait_for(asyncio.gather(*waiting), 5)

    asyncio.run(main())


def test_a_full_gate_lets_in_when_somebody_leaves():
    async def main():
        gate = Gate(1)
        await gate.enter()
        waiting = asyncio.ensure_future(gate.enter())
        await asyncio.sleep(0)
        assert not waiting.done()
        gate.leave()
        await asyncio.wait_for(waiting, 5)
        assert gate.in_flight == 1

    asyncio.run(main())


@pytest.mark.parametrize(
    ("limits", "tokens", "expected"),
    [
        ({"rpm": 60}, 10, [0, 1, 2, 3]),
        ({"tpm": 600}, 10, [0, 1, 2, 3]),
        ({"rpm": 60, "tpm": 600}, 20, [0, 2, 4, 6]),
        ({"rpm": 30, "tpm": 600}, 10, [0, 2, 4, 6]),
        ({}, 10, []),
    ],
)
def test_calls_and_tokens_are_spread_over_the_minute(clock, monkeypatch, limits, tokens, expected):
    slept = []

    async def sleep(seconds):
        slept.append(seconds)

    monkeypatch.setattr(pool.asyncio, "sleep", sleep)

    async def main():
        pace = Pace(**limits)
        for _ in range(4):
            await pace.wait(tokens)

    asyncio.run(main())
    assert slept == pytest.approx(expected)


def test_time_that_a_call_did_not_need_is_given_back(clock, monkeypatch):
    slept = []

    async def sleep(seconds):
        slept.append(seconds)

    monkeypatch.setattr(pool.asyncio, "sleep", sleep)

    async def main():
        for limits in ({"tpm": 600}, {"rpm": 120, "tpm": 600}, {"rpm": 6000, "tpm": 600}):
            pace = Pace(**limits)
            await pace.wait(100)  # it may use 10 seconds' worth
            pace.correct(100, 20)  # and used 2
            await pace.wait(100)
        pace = Pace(tpm=600)
        await pace.wait(100)
        # Of a server that does not count nothing can be given back.
        pace.correct(100, 0.0)
        pace.correct(100, float("nan"))
        await pace.wait(100)

    asyncio.run(main())
    assert slept == pytest.approx([0, 2, 0, 2, 0, 2, 0, 10])


def failed(**how):
    return TransportError("it failed", **how)


def test_waits_double_up_to_a_minute_and_take_some_chance(clock, no_chance, monkeypatch):
    retries = Retries(patience=1e9)
    retries.answered()
    waits = [retries.wait(failed(), k, clock.now) for k in range(11)]
    assert waits == [0.5, 1, 2, 4, 8, 16, 32, 60, 60, 60, 60]
    monkeypatch.setattr(pool.random, "uniform", lambda a, b: a)
    assert retries.wait(failed(), 3, clock.now) == 2, "calls that failed together come back apart"


def test_a_wait_is_never_shorter_than_the_server_asks_for(clock, no_chance):
    retries = Retries()
    retries.answered()
    assert retries.wait(failed(retry_after=20.0, rate_limited=True), 0, clock.now) == 20


def test_a_server_that_asks_for_more_than_the_patience_ends_the_run(clock):
    retries = Retries(patience=100)
    retries.answered()
    with pytest.raises(BackendError, match="it asks to wait 3600 s: run the same command again"):
        retries.wait(failed(retry_after=3600.0, rate_limited=True), 0, clock.now)


def test_patience_counts_from_the_last_answer_of_any_call(clock):
    retries, begun = Retries(patience=100), clock.now
    retries.answered()
    clock.now += 99
    retries.wait(failed(), 3, begun)
    retries.answered()
    clock.now += 99
    retries.wait(failed(), 4, begun)
    clock.now += 2
    with pytest.raises(BackendError, match=r"it failed \(6 attempts over 101 s\)"):
        retries.wait(failed(), 5, begun)


def test_an_idle_time_before_the_failure_is_not_held_against_the_server(clock):
    retries = Retries(patience=100)
    retries.answered()
    clock.now += 1000
    retries.wait(failed(), 0, clock.now)


def test_a_server_that_never_answered_is_given_up_sooner(clock):
    retries, begun = Retries(patience=300), clock.now
    clock.now += 11
    with pytest.raises(BackendError, match="1 attempts over 11 s"):
        retries.wait(failed(), 0, begun)
    # But one that asks for fewer calls is there.
    retries.wait(failed(rate_limited=True, retry_after=20.0), 0, begun)
    # And a shorter patience holds from the beginning.
    with pytest.raises(BackendError):
        Retries(patience=5).wait(failed(), 0, clock.now - 6)


def test_a_call_that_fails_again_and_again_while_others_succeed_is_given_up(clock, no_chance):
    retries = Retries(patience=1e9)
    for k in range(Retries.ATTEMPTS - 1):
        retries.answered()
        retries.wait(failed(), k, clock.now)
    with pytest.raises(BackendError, match="12 attempts"):
        retries.wait(failed(), Retries.ATTEMPTS - 1, clock.now)
    # A rate limit says nothing about the call.
    retries.wait(failed(rate_limited=True), 40, clock.now)


def run(jobs, work, gate=None, **how):
    asyncio.run(stream(jobs, work, gate or Gate(4, 4), **how))


def test_jobs_are_drawn_when_there_is_a_place_and_not_before():
    drawn, ended = [], []

    def jobs():
        for k in range(20):
            drawn.append(k)
            # One more may have been drawn, to wait at the gate.
            assert len(drawn) - len(ended) <= 3 + 1
            yield k

    async def work(job):
        await asyncio.sleep(0.001)
        ended.append(job)

    run(jobs(), work, Gate(3, 3))
    assert sorted(ended) == list(range(20))


def test_one_slow_job_holds_no_other_up():
    ended = []

    async def work(job):
        await asyncio.sleep(0.2 if job == 0 else 0.001)
        ended.append(job)

    run(range(30), work, Gate(2, 2))
    assert ended[-1] == 0 and len(ended) == 30


def test_after_a_failure_none_begins_those_under_way_end_and_the_first_failure_is_raised():
    begun, ended = [], []

    async def work(job):
        begun.append(job)
        await asyncio.sleep(0.01 * (job + 1))
        if job in (0, 1):
            raise BackendError(f"job {job}")
        ended.append(job)

    with pytest.raises(BackendError, match="job 0"):
        run(range(100), work, Gate(4, 4))
    assert begun == [0, 1, 2, 3] and ended == [2, 3]


def test_what_admission_raises_ends_the_stream_after_the_jobs_under_way():
    ended = []

    async def admit(job):
        if job == 3:
            raise BackendError("no more")

    async def work(job):
        await asyncio.sleep(0.01)
        ended.append(job)

    with pytest.raises(BackendError, match="no more"):
        run(range(10), work, admit=admit)
    assert ended == [0, 1, 2]


def test_a_cancelled_stream_finishes_what_is_under_way_within_its_grace():
    ended, said = [], []

    async def work(job):
        await asyncio.sleep(30 if job == 2 else 0.05)
        ended.append(job)

    async def main():
        def told(running, grace):
            said.append((running, grace, list(ended)))

        task = asyncio.ensure_future(
            stream(range(10), work, Gate(3, 3), grace=0.2, interrupted=told)
        )
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    begun = time.monotonic()
    asyncio.run(main())
    assert ended == [0, 1]
    assert said == [(3, 0.2, [])], "it is said before they are waited for"
    assert time.monotonic() - begun < 10, "the one that hung was given up"
