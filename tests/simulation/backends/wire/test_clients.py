"""Calls over connections that live and die, and that they are those of the `openai` client."""

import asyncio
import time

import openai
import pytest

from llmdemand.errors import UsageError
from llmdemand.simulation.backends.wire import connections
from llmdemand.simulation.backends.wire.clients import Clients
from llmdemand.simulation.backends.wire.connections import NotConnected
from llmdemand.simulation.backends.wire.received import BrokenOff
from llmdemand.simulation.backends.wire.server import Server

PATH = "/chat/completions"


def calls(server, work):
    """Run a coroutine function of clients and the form of their calls."""

    async def main():
        clients = Clients(server)
        try:
            return await work(clients, await clients.form(PATH, "m"))
        finally:
            await clients.close()

    return asyncio.run(main())


@pytest.fixture
def ports(fake_server):
    """The port of every call's connection, in the order of the calls."""
    found, handle = [], fake_server.handle

    def noted(handler):
        found.append(handler.client_address[1])
        handle(handler)

    fake_server.handle = noted
    return found


def test_a_call_is_what_the_openai_client_sends_and_gets(fake_server, complete, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-1")
    answer = complete("Pampers", [("Pampers", -0.4, {"Pampers": -0.4})])
    fake_server.answer = lambda body, call: (200, answer, {})
    body = {"model": "m", "messages": [{"role": "user", "content": "Sch\u00f6n?"}], "seed": 1}

    async def theirs():
        async with openai.AsyncOpenAI(base_url=fake_server.url, max_retries=0) as client:
            return await client.chat.completions.create(**body)

    async def ours(clients, form):
        import msgspec

        return msgspec.json.decode((await clients.post(form, msgspec.json.encode(body))).content)

    told = asyncio.run(theirs()).model_dump(exclude_unset=True)
    assert calls(Server(fake_server.url), ours) == told == answer
    first, second = fake_server.requests
    assert first == second == body and len(set(fake_server.paths)) == 1
    # But for how long an answer may take, which we watch ourselves, and how it may be packed.
    own = {"accept-encoding", "x-stainless-read-timeout", "connection", "content-length"}
    sent, written = ({k: v for k, v in h.items() if k not in own} for h in fake_server.headers)
    written.pop("x-stainless-raw-response", None)
    assert {k: v for k, v in sent.items() if k not in written} == {}
    assert sent["authorization"] == written["authorization"] == "Bearer sk-1"


def test_calls_follow_each_other_on_one_connection(fake_server, ports):
    async def work(clients, form):
        for _ in range(5):
            await clients.post(form, b"{}")
        await asyncio.gather(*(clients.post(form, b"{}") for _ in range(3)))

    calls(Server(fake_server.url), work)
    assert len(set(ports[:5])) == 1 and len(ports) == 8


def test_what_was_idle_for_as_long_as_servers_wait_is_not_used_again(
    fake_server, ports, monkeypatch
):
    async def work(clients, form):
        await clients.post(form, b"{}")
        await asyncio.sleep(0.05)
        await clients.post(form, b"{}")

    monkeypatch.setattr(connections, "_IDLE", 0.01)
    calls(Server(fake_server.url), work)
    assert len(set(ports)) == 2
    # uvicorn, under vLLM and others, drops connections after 5 s.
    monkeypatch.undo()
    assert connections._IDLE < 5


def test_a_server_that_was_restarted_is_reached_anew(fake_server, ports):
    async def work(clients, form):
        await clients.post(form, b"{}")
        await asyncio.to_thread(fake_server.stop)
        with pytest.raises(NotConnected):
            await clients.post(form, b"{}")
        await asyncio.to_thread(fake_server.start)
        return (await clients.post(form, b"{}")).status

    assert calls(Server(fake_server.url), work) == 200


def test_a_connection_that_broke_carries_nothing_else(fake_server, ports, complete):
    answers = [fake_server.cut(complete("A"), 30), fake_server.reset, complete("B")]
    fake_server.answer = lambda body, call: (200, answers[call - 1], {})

    async def work(clients, form):
        for _ in range(2):
            with pytest.raises((BrokenOff, ConnectionResetError)):
                await clients.post(form, b"{}")
        return (await clients.post(form, b"{}")).content

    assert b'"B"' in calls(Server(fake_server.url), work)
    assert len(set(ports)) == 3


def test_an_answer_that_came_too_late_is_not_taken_for_the_next(fake_server, ports, complete):
    def answer(body, call):
        if call == 1:
            time.sleep(0.3)
        return 200, complete("late" if call == 1 else "next"), {}

    fake_server.answer = answer

    async def work(clients, form):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await clients.post(form, b"{}")
        await asyncio.sleep(0.3)
        return (await clients.post(form, b"{}")).content

    assert b'"next"' in calls(Server(fake_server.url), work)


def test_a_header_with_a_line_break_is_not_sent(monkeypatch, fake_server):
    with pytest.raises((UsageError, ValueError, openai.OpenAIError)):
        monkeypatch.setenv("OPENAI_ORG_ID", "a\r\nX-Evil: b")
        calls(Server("https://api.openai.com/v1"), lambda clients, form: asyncio.sleep(0))
    assert not fake_server.requests
