"""Shared fixtures: a fence around the network, a fake server, panels."""

import contextlib
import functools
import ipaddress
import json
import random
import signal
import socket
import ssl
import struct
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import matplotlib
import pytest
import threadpoolctl
from hypothesis import HealthCheck, settings

matplotlib.use("Agg")

# No test depends on how busy the machine is.
settings.register_profile(
    "any-machine", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("any-machine")


def linear_algebra():
    """Libraries that numpy and scipy compute with, and their kernels: (name, kernel)."""
    import numpy as np
    import scipy.linalg

    assert np and scipy.linalg  # what is loaded can be asked
    found = threadpoolctl.threadpool_info()
    return [
        (f["internal_api"], f.get("architecture", "?")) for f in found if f["user_api"] == "blas"
    ]


def pytest_report_header():
    return "linear algebra: " + ", ".join(" ".join(pair) for pair in linear_algebra())


def pytest_collection_modifyitems(items):
    """What takes longest begins first, where several processes share the tests."""
    items.sort(key=lambda item: item.path.name != "test_kernels.py")


@pytest.fixture
def blas_in_use():
    return linear_algebra()


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
    for name in ("OPENAI_BASE_URL", "AZURE_OPENAI_API_KEY", "OPENAI_API_VERSION"):
        monkeypatch.delenv(name, raising=False)


class FakeServer:
    """A server of the OpenAI protocol that behaves as badly as it is told to.

    `answer` is a function of (body, number of the call) and returns status, answer and
    headers. The answer is an object, bytes, or one of the troubles below. Connections are
    kept alive as real servers keep them. `delivered` holds the bodies of the requests whose
    answer was written out in full.
    """

    def __init__(self):
        self.requests, self.headers, self.paths, self.times = [], [], [], []
        self.delivered, self.errors = [], []
        self.in_flight = self.most_in_flight = 0
        self.answer = lambda body, call: (200, completion("Pampers"), {})
        self._lock = threading.Lock()
        self._server, self._port, self._tls = None, 0, None
        self.start()

    @property
    def url(self):
        return f"{self.root}/v1"

    @property
    def root(self):
        return f"http{'s' if self._tls else ''}://127.0.0.1:{self._port}"

    def secure(self, certificate):
        """Speak TLS from now on."""
        self.stop()
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._tls.load_cert_chain(certificate)
        self.start()

    def start(self):
        """Listen; on the same port as before if the server was stopped."""
        self._stopping = threading.Event()
        self._server = _Http(self, self._port)
        self._port = self._server.server_address[1]
        if self._tls is not None:
            self._server.socket = self._tls.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    def stop(self):
        """Die: break off every connection and free the port."""
        if self._server is None:
            return
        self._stopping.set()
        self._server.shutdown()
        self._server.drop()
        self._server.server_close()
        self._thread.join()
        self._server = None

    @staticmethod
    def drip(answer, seconds):
        """The answer byte by byte, spread over some seconds."""

        def write(handler, stopping):
            data = json.dumps(answer).encode()
            handler.head(200, len(data))
            for k in range(len(data)):
                if stopping.wait(seconds / len(data)):
                    break
                handler.wfile.write(data[k : k + 1])
                handler.wfile.flush()

        return write

    @staticmethod
    def cut(answer, keep):
        """The beginning of an answer, and then the connection is gone."""

        def write(handler, stopping):
            data = json.dumps(answer).encode()
            handler.head(200, len(data))
            handler.wfile.write(data[:keep])
            handler.wfile.flush()
            handler.close_connection = True

        return write

    @staticmethod
    def reset(handler, stopping):
        """A connection that is reset in place of an answer."""
        # With no time to linger, and no goodbye before (see shutdown_request), close sends RST.
        linger = struct.pack("ii", 1, 0)
        handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        handler.server.forget(handler.connection)
        handler.close_connection = True

    def handle(self, handler):
        length = int(handler.headers["Content-Length"])
        data = handler.rfile.read(length)
        if len(data) < length:
            raise ConnectionError("the client died while it asked")
        body = json.loads(data)
        with self._lock:
            self.requests.append(body)
            self.headers.append({k.lower(): v for k, v in handler.headers.items()})
            self.paths.append(handler.path)
            self.times.append(time.monotonic())
            call = len(self.requests)
            self.in_flight += 1
            self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            status, answer, headers = self.answer(body, call)
        finally:
            with self._lock:
                self.in_flight -= 1
        if callable(answer):
            answer(handler, self._stopping)
            return
        data = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        handler.head(status, len(data), headers)
        handler.wfile.write(data)
        handler.wfile.flush()
        if status == 200:
            with self._lock:
                self.delivered.append(body)


class _Http(ThreadingHTTPServer):
    daemon_threads, block_on_close, request_queue_size = False, True, 128

    def __init__(self, outer, port):
        self.outer, self._open, self._lock = outer, set(), threading.Lock()

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            # One packet per answer: otherwise each waits 40 ms for an acknowledgement.
            wbufsize, disable_nagle_algorithm = 1 << 16, True

            def do_POST(self):
                outer.handle(self)

            def head(self, status, length, headers=()):
                headers = {"Content-Type": "application/json", **dict(headers)}
                self.send_response(status)
                self.send_header("Content-Length", str(length))
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()

            def log_message(self, *args):
                pass

        super().__init__(("127.0.0.1", port), Handler)

    def get_request(self):
        connection, address = super().get_request()
        with self._lock:
            self._open.add(connection)
        return connection, address

    def forget(self, connection):
        with self._lock:
            self._open.discard(connection)

    def shutdown_request(self, request):
        if request in self._open:
            self.forget(request)
            super().shutdown_request(request)
        else:
            self.close_request(request)

    def drop(self):
        with self._lock:
            for connection in self._open:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request, client_address):
        # Clients that are killed or give up waiting are expected; anything else is not.
        error = sys.exc_info()[1]
        if not isinstance(error, ConnectionError):
            self.outer.errors.append(error)


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
    assert not server.errors


@pytest.fixture
def complete():
    return completion


@pytest.fixture
def control_c():
    """Control-C raises KeyboardInterrupt, here and in processes started from here.

    A shell starts what runs in its background with the signal ignored, and that is inherited.
    """
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def quick_retries(monkeypatch):
    """Waits between retries a hundred times shorter; their rule stays as it is."""
    uniform = random.uniform
    monkeypatch.setattr(
        "llmdemand.simulation.calls.pool.random.uniform", lambda a, b: uniform(a, b) / 100
    )


@pytest.fixture(scope="session")
def synthetic_panel():
    """The published design answered by the known-truth consumer, 30 runs per price."""
    from llmdemand import load_study, simulate

    return simulate(load_study("pampers"), "synthetic", runs=30, seed=7)


@pytest.fixture(scope="session")
def two():
    """Two processes of this machine that stay from test to test, as an executor."""
    from llmdemand.scale.session import Session

    with Session(2) as session:
        yield session


@pytest.fixture(scope="session")
def dask_client():
    """Of a cluster of two processes of this machine; tests may kill them, others come."""
    import dask
    from distributed import Client, LocalCluster

    # On a machine that is busy processes take long to start, and to answer; one that is killed is
    # given up where no other is there in time.
    waits = {
        "distributed.comm.timeouts": {"connect": "300s", "tcp": "300s"},
        "distributed.deploy.lost-worker-timeout": "300s",
    }
    two = {"n_workers": 2, "threads_per_worker": 1, "processes": True}
    with (
        dask.config.set({**waits, "distributed.scheduler.worker-ttl": None}),
        LocalCluster(**two, dashboard_address="127.0.0.1:0", host="127.0.0.1") as cluster,
        Client(cluster, timeout="300s") as client,
    ):
        yield client


@pytest.fixture
def run_in(monkeypatch, capsys):
    """Run a command in a folder: exit code, standard output, standard error."""
    from llmdemand import cli

    def call(folder, *arguments):
        monkeypatch.chdir(folder)
        monkeypatch.setattr(sys, "argv", ["llmdemand", *map(str, arguments)])
        try:
            cli.main()
            code = 0
        except SystemExit as stop:
            code = stop.code or 0
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


@pytest.fixture
def run(run_in, tmp_path):
    """Run a command in an empty folder."""
    return functools.partial(run_in, tmp_path)
