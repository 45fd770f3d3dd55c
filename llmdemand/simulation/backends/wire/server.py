"""A server of the OpenAI protocol: its address, and how it is reached."""

from __future__ import annotations

import math
import os
import re
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit, urlunsplit

from llmdemand.core.written import toml
from llmdemand.errors import UsageError, nearest
from llmdemand.simulation.cost import Prices

__all__ = ["Server", "read_server"]

_AZURE = "AZURE_OPENAI_API_KEY"
_OPENAI = "OPENAI_API_KEY"
# How the value of a header begins whose rest is the secret.
_SCHEME = re.compile(r"(?:bearer|basic|digest|token|api-?key|key)\s+(\S+)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Server:
    """Where a model answers and how it is reached; `at` makes one.

    Attributes
    ----------
    base_url : str or None
        The address without its query; OpenAI's own where there is none.
    api_version : str or None
        Sent as ``?api-version=``.
    deployment : str or None
        Of Azure: the name under which the model is deployed; the model's by default.
    headers : mapping of str to str
        Further headers: from their names to the environment variables that hold their values.
    key_env : str or None
        The environment variable that holds the key.
    ca_file : Path or None
        Certificates (PEM) to trust beside those of the system.
    proxy : str or None
        An HTTP proxy; ``HTTPS_PROXY``, ``HTTP_PROXY`` and ``NO_PROXY`` by default.
    timeout : float
        Seconds for one call from its beginning to its last byte.
    """

    base_url: str | None = None
    api_version: str | None = None
    deployment: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    key_env: str | None = None
    ca_file: Path | None = None
    proxy: str | None = None
    timeout: float = 120.0

    @classmethod
    def at(cls, base_url: str | None, **options: Any) -> Server:
        """A server from its address, which may say ``?api-version=``, and further fields.

        Raises
        ------
        UsageError
            If the address or an option makes no sense, or holds what would be stored.
        """
        base_url = base_url or os.environ.get("OPENAI_BASE_URL") or None
        if base_url is not None:
            base_url, version = _address(base_url, "--base-url")
            options["api_version"] = options.get("api_version") or version
        if (ca_file := options.get("ca_file")) is not None:
            options["ca_file"] = Path(ca_file)
        options["headers"] = dict(options.get("headers") or {})
        found = cls(base_url, **options)
        if found.is_azure and found.api_version is None:
            found = replace(found, api_version=os.environ.get("OPENAI_API_VERSION"))
        found._check()
        return found

    @classmethod
    def all_at(cls, base_urls: str | Sequence[str] | None, **options: Any) -> list[Server]:
        """Servers that share calls, from their addresses or a text with commas between them.

        Raises
        ------
        UsageError
            As `at` does; if they are reached in different ways, or one is named twice.
        """
        named = base_urls or os.environ.get("OPENAI_BASE_URL") or None
        several = named.rstrip(", ").split(",") if isinstance(named, str) else named
        given: list[str | None] = [*several] if several else [None]
        found = [cls.at(url.strip() if url else None, **options) for url in given]
        kinds = {(s.is_openai, s.is_azure, s.api_version) for s in found}
        if len(kinds) > 1 or len({s.base_url for s in found}) < len(found):
            raise UsageError(
                f"--base-url {', '.join(s.place for s in found)}: servers that share calls have "
                "different addresses, and are reached alike"
            )
        return found

    def _check(self) -> None:
        if not (self.timeout > 0 and math.isfinite(self.timeout)):
            raise UsageError(f"--timeout {self.timeout}: give a positive number of seconds")
        if self.deployment is not None and (
            self.base_url is None or not re.fullmatch(r"[\w.-]+", self.deployment)
        ):
            raise UsageError(
                f"--deployment {self.deployment!r}: give the name of an Azure deployment, and the "
                "address of its resource with --base-url https://NAME.openai.azure.com"
            )
        if self.is_azure and self.api_version is None:
            raise UsageError(
                f"{self.base_url} is an Azure deployment, and those need a version: add "
                "--api-version 2024-10-21, or the one that the portal shows"
            )
        if self.proxy is not None:
            _address(self.proxy, "--proxy", "HTTPS_PROXY")
        self._header_values()
        if self.ca_file is not None:
            self.trust()

    def _header_values(self) -> dict[str, str]:
        found = {}
        for name, variable in self.headers.items():
            if not re.fullmatch(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+", str(name)):
                raise UsageError(f"--header {name!r} is no name of a header: write Name=VARIABLE")
            value = os.environ.get(str(variable))
            if not value:
                raise UsageError(
                    f"--header {name} is to hold what the environment variable {variable} holds, "
                    "and that is not set: values of headers are read from the environment alone, "
                    "as they may be secret"
                )
            if not _sendable(value):
                raise UsageError(
                    f"the environment variable {variable} holds what no header may (a line break "
                    "or a character beyond ASCII)"
                )
            found[str(name)] = value
        return found

    def trust(self) -> ssl.SSLContext:
        """Certificates that are trusted: the system's and one's own."""
        context = ssl.create_default_context()
        if self.ca_file is not None:
            try:
                context.load_verify_locations(self.ca_file)
            except (OSError, ssl.SSLError) as error:
                raise UsageError(
                    f"--ca-file {self.ca_file} cannot be read as certificates ({error}): give a "
                    "file in PEM form"
                ) from None
        return context

    @property
    def _host(self) -> str:
        return (urlsplit(self.base_url).hostname or "") if self.base_url else "api.openai.com"

    def _within(self, domain: str) -> bool:
        return self._host == domain or self._host.endswith("." + domain)

    @property
    def is_openai(self) -> bool:
        """Whether the host is OpenAI's: ``openai.com`` or what ends in ``.openai.com``."""
        return self._within("openai.com")

    @property
    def is_azure(self) -> bool:
        """Whether it speaks Azure's own dialect: deployments in the path, ``api-key``."""
        path = urlsplit(self.base_url).path if self.base_url else ""
        return (
            self.deployment is not None
            or "/openai/deployments/" in path
            or (self._within("azure.com") and not path.rstrip("/").endswith("/v1"))
        )

    @property
    def place(self) -> str:
        """How it is called in messages."""
        return self.base_url or "OpenAI"

    @property
    def key_name(self) -> str:
        """The environment variable of its key: one server's is not another's."""
        return self.key_env or (_AZURE if self.is_azure else _OPENAI)

    @property
    def key(self) -> str | None:
        """Its key, if the environment holds one, without the blanks that files and pasting add.

        Raises
        ------
        UsageError
            If a variable was named and is not set, or holds what no header can.
        """
        key = os.environ.get(self.key_name, "").strip()
        if not key and self.key_env is not None:
            raise UsageError(f"--key-env {self.key_env}: that environment variable is not set")
        if not _sendable(key):
            raise UsageError(
                f"the environment variable {self.key_name} holds what no key may (a line break "
                "or a character beyond ASCII): set it to the key alone"
            )
        return key or None

    @property
    def secrets(self) -> tuple[str, ...]:
        """What no message, file or panel may hold.

        Of ``Bearer abc`` and its like also what follows the scheme.
        """
        named = (self.key_name, _OPENAI, _AZURE, *map(str, self.headers.values()))
        lines = os.environ.get("OPENAI_CUSTOM_HEADERS", "").splitlines()
        found = [os.environ.get(name, "").strip() for name in named]
        found += [line.partition(":")[2].strip() for line in lines]
        found += [match[1] for value in found if (match := _SCHEME.fullmatch(value))]
        return tuple(value for value in found if value)

    @property
    def settings(self) -> dict[str, Any]:
        """What may change answers, without secrets; how it is reached does not."""
        found: dict[str, Any] = {"base_url": self.base_url or "openai"}
        if self.api_version is not None:
            found["api_version"] = self.api_version
        if self.deployment is not None:
            found["deployment"] = self.deployment
        if self.headers:
            found["headers"] = sorted(self.headers)
        return found

    def connection(self) -> dict[str, Any]:
        """Arguments of the HTTP client below the `openai` client."""
        # Redirects would carry the question, and headers that are not the client's own, elsewhere.
        found: dict[str, Any] = {"verify": self.trust(), "follow_redirects": False}
        return found if self.proxy is None else {**found, "proxy": self.proxy}

    def client(self, http_client: Any) -> Any:
        """An `openai` client of this server."""
        import openai

        options: dict[str, Any] = {
            "api_key": self.key or "none",
            "timeout": self.timeout,
            # The runner repeats what failed on its way, and counts it.
            "max_retries": 0,
            "default_headers": self._header_values(),
            "http_client": http_client,
        }
        if self.is_azure:
            address = (self.base_url or "").rstrip("/")
            if "/openai/deployments/" in address:
                options["base_url"] = address
            else:
                options |= {"azure_endpoint": address.removesuffix("/openai")}
                options |= {"azure_deployment": self.deployment}
            return openai.AsyncAzureOpenAI(api_version=self.api_version, **options)
        if self.api_version is not None:
            options["default_query"] = {"api-version": self.api_version}
        if not self.is_openai:
            # Of OpenAI's own, which the client would take from the environment for any server.
            dropped = {"OpenAI-Organization": openai.Omit(), "OpenAI-Project": openai.Omit()}
            options["default_headers"] = {**dropped, **options["default_headers"]}
        return openai.AsyncOpenAI(base_url=self.base_url, **options)


def _sendable(value: str) -> bool:
    """Whether a header can hold a value."""
    return value.isascii() and value.isprintable()


def _address(
    text: str, option: str, where: str = "the variable that --key-env names"
) -> tuple[str, str | None]:
    """An address without its query, and the version in that.

    Raises
    ------
    UsageError
        If it is none, or holds more than an address.
    """
    try:
        parts = urlsplit(text)
        sound = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:  # of a port or an IPv6 address
        sound = False
    if not sound:
        raise UsageError(f"{option} {text!r} is no web address: http://host:port/v1")
    query = parse_qsl(parts.query, keep_blank_values=True)
    if parts.username or parts.password or {name for name, _ in query} - {"api-version"}:
        raise UsageError(
            f"{option} holds a user name, password or query, which would be stored or shown: put "
            f"it into {where} and give the plain address"
        )
    version = dict(query).get("api-version") or None
    return urlunsplit((parts.scheme, parts.netloc, parts.path, "", "")), version


def read_server(path: str | Path) -> dict[str, Any]:
    """Options of a backend from a TOML file: those of `OpenAIBackend` by their names.

    Parameters
    ----------
    path : path
        The file. ``prices`` is a list of two numbers; ``ca_file`` is looked for beside it.

    Raises
    ------
    UsageError
        If it cannot be read.
    """
    path = Path(path)
    try:
        found = toml(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"--server {path} cannot be read as TOML: {error}") from None
    for name, value in found.items():
        kind = _KINDS.get(name)
        if kind is None:
            raise UsageError(
                f"--server {path}: no option {name!r}{nearest(name, tuple(_KINDS))}; keys are read "
                "from the environment: key_env names the variable"
            )
        if not isinstance(value, kind) or isinstance(value, bool):
            raise UsageError(f"--server {path}: {name} = {value!r} is no {_SAID[kind]}")
    if "ca_file" in found:
        found["ca_file"] = path.parent / found["ca_file"]
    if "prices" in found:
        try:
            found["prices"] = Prices(*map(float, found["prices"]))
        except (TypeError, ValueError):
            raise UsageError(
                f"--server {path}: prices = {found['prices']}: give dollars per million tokens "
                "read and written, such as [2.5, 10]"
            ) from None
    return found


_NUMBER = (int, float)
_SAID = {str: "text", int: "whole number", dict: "table", list: "list", _NUMBER: "number"}
_KINDS: dict[str, Any] = {
    **dict.fromkeys(("model", "base_url", "api", "reasoning_effort", "max_tokens_field"), str),
    **dict.fromkeys(("api_version", "deployment", "key_env", "ca_file", "proxy"), str),
    **dict.fromkeys(("n", "top_logprobs"), int),
    **dict.fromkeys(("extra_body", "headers"), dict),
    "timeout": _NUMBER,
    "prices": list,
}
