"""Shared fixtures: a fence around the network, a fake server, panels."""

import ipaddress
import json
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import matplotlib
import pytest

matplotlib.use("Agg")


@pytest.fixture(autouse=True)
def loopback_only(monkeypatch):
    """Any connection beyond this machine fails the test."""
    connect = socket.socket.connect

    def guarded(self, address):
        if isinstance(address, tuple):
            host = address[0]
            loopback = host == "localhost" or ipaddress.ip_address(host).is_loopback
            assert loopback, f"a test reached out to {host}"
        return connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", guarded)


@pytest.fixture(autouse=True)
def no_keys(monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)


class FakeServer:
    """A Chat Completions server whose answers are functions of (body, number of the call)."""

    def __init__(self):
        self.requests = []
        self.headers = []
        self.answer = lambda body, call: (200, completion("Pampers"), {})
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                outer.requests.append(body)
                outer.headers.append({k.lower(): v for k, v in self.headers.items()})
                status, answer, headers = outer.answer(body, len(outer.requests))
                data = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Type", headers.pop("Content-Type", "application/json"))
                self.send_header("Content-Length", str(len(data)))
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *args):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/v1"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def stop(self):
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def completion(text, logprobs=None, *, finish="stop", refusal=None):
    """A Chat Completions object; `logprobs` is a list of (token, logprob, {candidate: logprob})."""
    content = None
    if logprobs is not None:
        content = [
            {
                "token": token,
                "logprob": value,
                "bytes": list(token.encode()),
                "top_logprobs": [
                    {"token": c, "logprob": v, "bytes": list(c.encode())} for c, v in listed.items()
                ],
            }
            for token, value, listed in logprobs
        ]
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "fake-1",
        "choices": [
            {
                "index": 0,
                "finish_reason": finish,
                "message": {"role": "assistant", "content": text, "refusal": refusal},
                "logprobs": None if content is None else {"content": content, "refusal": None},
            }
        ],
        "usage": {"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9},
    }


@pytest.fixture
def fake_server():
    server = FakeServer()
    yield server
    server.stop()


@pytest.fixture
def complete():
    return completion


@pytest.fixture(scope="session")
def synthetic_panel():
    """The published design answered by the known-truth consumer, 30 runs per price."""
    from llmdemand import load_study, simulate

    return simulate(load_study("pampers"), "synthetic", runs=30, seed=7)
