"""How a server is reached, over real HTTP: whose key goes where, Azure, headers, TLS, proxies."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from llmdemand import load_study, simulate
from llmdemand.errors import BackendError, UsageError
from llmdemand.simulation.backends.named import backend_named
from llmdemand.simulation.backends.openai import OpenAIBackend
from llmdemand.simulation.backends.wire.server import Server
from llmdemand.simulation.storing.records import Source

STUDY = load_study("pampers")
CERTIFICATE = Path(__file__).parents[3] / "golden" / "tls" / "localhost.pem"
KEY, AZURE, SECRET = "sk-openai-1", "azure-key-2", "team-secret-3"


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path, monkeypatch, fake_server, complete, quick_retries):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("AZURE_OPENAI_API_KEY", AZURE)
    monkeypatch.setenv("TEAM", SECRET)
    answer = complete("Pampers", [("Pampers", -0.4, {"Pampers": -0.4, "H": -1.6})])
    fake_server.answer = lambda body, call: (200, answer, {})


def ask(backend, **options):
    return simulate(STUDY, backend, **{"runs": 1, "probe": False, "store": ":memory:", **options})


@pytest.mark.parametrize(
    ("address", "openai", "azure"),
    [
        (None, True, False),
        ("https://api.openai.com/v1", True, False),
        ("https://eu.api.OpenAI.com/v1", True, False),
        ("https://evil-openai.com/v1", False, False),
        ("https://openai.com.evil.org/v1", False, False),
        ("https://evil.org/openai.com", False, False),
        ("https://x.openai.azure.com?api-version=1", False, True),
        ("https://x.openai.azure.com/openai/v1/", False, False),
        ("https://evilazure.com/v1?api-version=1", False, False),
        ("http://127.0.0.1:1/openai/deployments/x?api-version=1", False, True),
    ],
)
def test_a_host_is_known_by_its_whole_domain(address, openai, azure):
    server = Server.at(address)
    assert (server.is_openai, server.is_azure) == (openai, azure)
    assert server.key == (AZURE if azure else KEY)
    backend = OpenAIBackend("gpt-4o", base_url=address)
    assert (backend.prices is not None) is openai, "list prices are OpenAI's own"


def test_a_redirect_is_not_followed_with_the_key(fake_server, complete):
    fake_server.answer = lambda body, call: (307, b"", {"Location": "http://127.0.0.1:9/v1/x"})
    backend = OpenAIBackend("m", base_url=fake_server.url, headers={"X-Team": "TEAM"})
    with pytest.raises(BackendError, match=r"answered 307.*127\.0\.0\.1:9/v1/x.*--base-url"):
        ask(backend)
    assert len(fake_server.requests) <= 4


def test_each_server_has_its_own_key(fake_server, monkeypatch):
    monkeypatch.setenv("MINE", "mine-4")
    ask(OpenAIBackend("m", base_url=fake_server.url, key_env="MINE"))
    assert {h["authorization"] for h in fake_server.headers} == {"Bearer mine-4"}
    with pytest.raises(UsageError, match="NOWHERE: that environment variable is not set"):
        OpenAIBackend("m", base_url=fake_server.url, key_env="NOWHERE")
    monkeypatch.delenv("AZURE_OPENAI_API_KEY")
    with pytest.raises(UsageError, match="no AZURE_OPENAI_API_KEY in the environment"):
        OpenAIBackend("m", base_url=fake_server.root, deployment="d", api_version="1")


def test_openais_organization_goes_to_openai_alone(fake_server, monkeypatch):
    monkeypatch.setenv("OPENAI_ORG_ID", "org-1")
    monkeypatch.setenv("OPENAI_PROJECT_ID", "proj-1")
    ask(OpenAIBackend("m", base_url=fake_server.url))
    assert not any(name.startswith("openai-") for name in fake_server.headers[0])


@pytest.mark.parametrize("how", ["deployment", "model", "address"])
def test_an_azure_deployment(fake_server, how):
    options = {
        "deployment": {"base_url": fake_server.root, "deployment": "mine", "api_version": "7"},
        "model": {"base_url": f"{fake_server.root}/openai?api-version=7", "deployment": "mine"},
        "address": {"base_url": f"{fake_server.root}/openai/deployments/mine?api-version=7"},
    }[how]
    panel = ask(OpenAIBackend("gpt-4o", **options))
    assert panel.statuses["ok"] == 16
    path = "/openai/deployments/mine/chat/completions?api-version=7"
    assert set(fake_server.paths) == {path}
    assert {h["api-key"] for h in fake_server.headers} == {AZURE}
    assert not any("authorization" in h for h in fake_server.headers), "the other key stays here"


def test_an_azure_deployment_needs_a_version(fake_server, monkeypatch):
    with pytest.raises(UsageError, match="add --api-version"):
        OpenAIBackend("m", base_url=fake_server.root, deployment="mine")
    monkeypatch.setenv("OPENAI_API_VERSION", "8")
    ask(OpenAIBackend("m", base_url=fake_server.root, deployment="mine"))
    assert fake_server.paths[0].endswith("?api-version=8")
    with pytest.raises(UsageError, match="name of an Azure deployment"):
        OpenAIBackend("m", base_url=fake_server.root, deployment="../x", api_version="1")


def test_a_version_is_sent_to_any_server_and_is_part_of_the_source(fake_server):
    given = OpenAIBackend("m", base_url=fake_server.url, api_version="7")
    told = OpenAIBackend("m", base_url=f"{fake_server.url}?api-version=7")
    plain = OpenAIBackend("m", base_url=fake_server.url)
    ask(told)
    assert set(fake_server.paths) == {"/v1/chat/completions?api-version=7"}
    assert Source.of(given) == Source.of(told) != Source.of(plain)
    # What is stored of servers that need none of this is found again.
    assert plain.settings == {"base_url": fake_server.url, "api": "auto", "extra_body": {}}


@pytest.mark.parametrize("field", ["max_tokens", "max_completion_tokens"])
def test_the_field_of_the_most_tokens_has_the_name_that_is_wanted(fake_server, field):
    ask(OpenAIBackend("m", base_url=fake_server.url, max_tokens_field=field))
    other = ({"max_tokens", "max_completion_tokens"} - {field}).pop()
    body = fake_server.requests[0]
    assert body[field] == STUDY.sampling.max_tokens and other not in body
    with pytest.raises(UsageError, match="max_tokens_field='tokens'"):
        OpenAIBackend("m", base_url=fake_server.url, max_tokens_field="tokens")


def test_a_server_that_wants_another_field_is_answered_with_the_option(fake_server):
    words = "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead."
    fake_server.answer = lambda body, call: (400, {"error": {"message": words}}, {})
    with pytest.raises(BackendError, match="add --max-tokens-field max_completion_tokens"):
        ask(OpenAIBackend("m", base_url=fake_server.url))


def test_headers_hold_what_the_environment_does_and_nothing_else_does(fake_server, tmp_path):
    backend = OpenAIBackend("m", base_url=fake_server.url, headers={"X-Team": "TEAM"})
    panel = ask(backend, store=tmp_path / "s.sqlite")
    assert {h["x-team"] for h in fake_server.headers} == {SECRET}
    panel.write(tmp_path / "panel.parquet")
    for file in tmp_path.rglob("*"):
        assert file.is_dir() or SECRET.encode() not in file.read_bytes()
    assert SECRET not in repr(vars(backend)) + repr(panel.provenance)
    fake_server.answer = lambda body, call: (401, {"error": {"message": f"no {SECRET}"}}, {})
    with pytest.raises(BackendError, match="401 to model 'm': no <key>"):
        ask(backend)
    with pytest.raises(UsageError, match="extra_body holds the API key"):
        OpenAIBackend(
            "m", base_url=fake_server.url, headers={"X": "TEAM"}, extra_body={"a": SECRET}
        )


@pytest.mark.parametrize(
    ("headers", "message"),
    [
        ({"X-Team": "NOWHERE"}, "variable NOWHERE holds, and that is not set"),
        ({"X Team": "TEAM"}, "is no name of a header"),
        ({"X-Team": "LINES"}, "holds what no header may"),
    ],
)
def test_headers_that_cannot_be(monkeypatch, headers, message):
    monkeypatch.setenv("LINES", "a\r\nX-Evil: b")
    with pytest.raises(UsageError, match=message) as caught:
        OpenAIBackend("m", base_url="http://127.0.0.1:1/v1", headers=headers)
    assert "Evil" not in str(caught.value)


def test_a_certificate_that_is_not_trusted_is_refused_at_once_and_can_be_trusted(fake_server):
    fake_server.secure(CERTIFICATE)
    with pytest.raises(BackendError, match=r"not trusted \(self.signed.*--ca-file"):
        ask(OpenAIBackend("m", base_url=fake_server.url))
    assert not fake_server.requests, "nothing is sent to it"
    panel = ask(OpenAIBackend("m", base_url=fake_server.url, ca_file=CERTIFICATE))
    assert panel.statuses["ok"] == 16


def test_a_file_that_holds_no_certificates(tmp_path):
    (tmp_path / "x.pem").write_text("hello")
    for name in ("x.pem", "missing.pem"):
        with pytest.raises(UsageError, match=f"--ca-file {name} cannot be read as certificates"):
            OpenAIBackend("m", base_url="https://127.0.0.1:1/v1", ca_file=name)


@pytest.mark.parametrize("named", ["option", "environment"])
def test_a_proxy(fake_server, monkeypatch, named):
    options = {"proxy": fake_server.root}
    if named == "environment":
        options = {}
        monkeypatch.setenv("HTTP_PROXY", fake_server.root)
        monkeypatch.delenv("NO_PROXY", raising=False)
    panel = ask(OpenAIBackend("m", base_url="http://model.invalid/v1", **options))
    assert panel.statuses["ok"] == 16
    assert set(fake_server.paths) == {"http://model.invalid/v1/chat/completions"}


def test_proxies_that_cannot_be(fake_server, monkeypatch):
    with pytest.raises(UsageError, match="--proxy holds a user name") as caught:
        OpenAIBackend("m", base_url=fake_server.url, proxy=f"http://me:{SECRET}@127.0.0.1:1")
    assert SECRET not in str(caught.value) and "HTTPS_PROXY" in str(caught.value)
    monkeypatch.setenv("ALL_PROXY", "nonsense://127.0.0.1:1")
    monkeypatch.delenv("NO_PROXY", raising=False)
    with pytest.raises(UsageError, match="the proxy cannot be used"):
        ask(OpenAIBackend("m", base_url="http://model.invalid/v1"))


@pytest.mark.parametrize("timeout", [0, -1, float("nan"), float("inf")])
def test_timeouts_that_cannot_be(timeout):
    with pytest.raises(UsageError, match="--timeout"):
        OpenAIBackend("m", base_url="http://127.0.0.1:1/v1", timeout=timeout)


@pytest.mark.parametrize("address", ["http://127.0.0.1:99999/v1", "http://[::1/v1", "ftp://x/v1"])
def test_addresses_that_cannot_be(address):
    with pytest.raises(UsageError, match="is no web address"):
        OpenAIBackend("m", base_url=address)


FILE = """
model = "gpt-4o"
base_url = "{url}"
api_version = "7"
deployment = "mine"
timeout = 30
max_tokens_field = "max_completion_tokens"
key_env = "TEAM"
ca_file = "own.pem"
prices = [2.5, 10]
headers = {{ X-Team = "TEAM" }}
extra_body = {{ user = "me" }}
"""


def all_of_it(fake_server):
    path = "/openai/deployments/mine/chat/completions?api-version=7"
    assert set(fake_server.paths) == {path}
    header = fake_server.headers[0]
    assert header["api-key"] == header["x-team"] == SECRET
    body = fake_server.requests[0]
    assert body["user"] == "me" and "max_completion_tokens" in body


def test_a_file_says_how_a_server_is_reached(fake_server, tmp_path):
    fake_server.secure(CERTIFICATE)
    (tmp_path / "own.pem").write_bytes(CERTIFICATE.read_bytes())
    file = tmp_path / "azure.toml"
    file.write_text(FILE.format(url=fake_server.root))
    # Beside the file, whatever folder one is in.
    (tmp_path / "elsewhere").mkdir()
    os.chdir(tmp_path / "elsewhere")
    backend = OpenAIBackend.from_toml(file)
    assert backend.prices.prompt == 2.5
    ask(backend)
    all_of_it(fake_server)
    named = backend_named("openai", STUDY, server=file, model="other")
    assert named.model == "other" and named.settings == backend.settings


def test_the_same_by_options_of_the_command_line(fake_server, tmp_path):
    fake_server.secure(CERTIFICATE)
    (tmp_path / "own.pem").write_bytes(CERTIFICATE.read_bytes())
    (tmp_path / "azure.toml").write_text(FILE.format(url=fake_server.root))
    options = [
        *("--model", "gpt-4o", "--base-url", fake_server.root, "--api-version", "7"),
        *("--deployment", "mine", "--timeout", "30", "--key-env", "TEAM"),
        *("--max-tokens-field", "max_completion_tokens", "--ca-file", "own.pem"),
        *("--header", "X-Team=TEAM", "--extra-body", '{"user": "me"}'),
    ]
    for given in (options, ["--server", "azure.toml"]):
        command = ["simulate", "pampers", *given, "--runs", "1", "--no-probe", "--store", "s.db"]
        done = subprocess.run(
            [sys.executable, "-c", "from llmdemand.cli import main; main()", *command],
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert SECRET not in done.stdout + done.stderr
    all_of_it(fake_server)
    assert len(fake_server.requests) == 16, "they say the same: the second asks nothing"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("model = ", "cannot be read as TOML"),
        ("modle = 'x'", "no option 'modle' .did you mean 'model'"),
        ("api_key = 'x'", "keys are read from the environment"),
        ("timeout = 'long'", "timeout = 'long' is no number"),
        ("prices = [1]", "such as .2.5, 10."),
        ("timeout = true", "timeout = True is no number"),
    ],
)
def test_files_that_cannot_be(tmp_path, text, message):
    (tmp_path / "server.toml").write_text(text)
    with pytest.raises(UsageError, match=message) as caught:
        OpenAIBackend.from_toml(tmp_path / "server.toml")
    assert "\n" not in json.dumps(str(caught.value))


def test_a_header_given_by_value_is_not_shown(tmp_path):
    from llmdemand.cli.options import headers_of

    with pytest.raises(UsageError, match="no Name=VARIABLE") as caught:
        headers_of([f"X-Team: {SECRET}"])
    assert SECRET not in str(caught.value)
