"""One server that answers, and what is made of its answers and its troubles."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Mapping
from typing import Any

import msgspec

from llmdemand.belief.readers import read_response
from llmdemand.errors import BackendError, ResponseError, TransportError
from llmdemand.simulation.backends.wire.bodies import Parsed, error_in, spelled, split
from llmdemand.simulation.backends.wire.clients import Clients
from llmdemand.simulation.backends.wire.connections import NotConnected
from llmdemand.simulation.backends.wire.reasoning import USE
from llmdemand.simulation.backends.wire.received import BrokenOff, Received, TooLong
from llmdemand.simulation.backends.wire.redacted import redacted, suspected
from llmdemand.simulation.backends.wire.server import Server
from llmdemand.simulation.backends.wire.troubles import Trouble, cleaned, retry_after

__all__ = ["Endpoint"]


class Endpoint:
    """Where a model answers.

    Parameters
    ----------
    server : Server
        The address, and how it is reached.
    model : str
        Who is asked there.
    """

    def __init__(self, server: Server, model: str) -> None:
        self.server, self.model = server, model
        self.busy = 0
        self._clients = Clients(server)
        self._deadline = server.timeout
        self._secrets: tuple[str, ...] | None = None

    @property
    def place(self) -> str:
        """How it is called in messages."""
        return self.server.place

    @property
    def secrets(self) -> tuple[str, ...]:
        """What no message, file or panel may hold, as of when the connections were opened."""
        if self._secrets is None:
            self._secrets = self.server.secrets
        return self._secrets

    async def post(
        self, path: str, body: Mapping[str, Any], *, plain: bool, wanted: int
    ) -> dict[str, Any]:
        """What the server answers: see `OpenAIBackend.post`."""
        if plain:
            path = (self.server.base_url or "").rstrip("/").removesuffix("/v1") + path
        content = msgspec.json.encode(body)
        form = await self._clients.form(path, self.model)
        deadline = self._deadline
        self.busy += 1
        try:
            async with asyncio.timeout(deadline):
                received = await self._clients.post(form, content)
        except TimeoutError:
            # Of calls that were under way together, the first to be late makes it longer.
            self._deadline = max(self._deadline, 2 * deadline)
            raise TransportError(
                f"{self.place} did not answer within {deadline:g} s (--timeout)",
                maybe_billed=True,
                slow=True,
            ) from None
        except TooLong as error:
            raise BackendError(
                f"{self.place} sent more than {error.args[0] >> 20} MB in place of an answer: look "
                "at what answers at this address"
            ) from None
        except (NotConnected, OSError) as error:
            raise self._unreachable(error) from None
        finally:
            self.busy -= 1
        if plain and received.status in (404, 405, 501):
            return {}
        if not 200 <= received.status < 300:
            return self._refusal(received)
        return self._read(received, wanted)

    def _unreachable(self, error: BaseException) -> BackendError:
        """What broke the connection; a certificate that is not trusted will not be later."""
        deeper: BaseException | None = error
        while deeper is not None:
            if isinstance(deeper, ssl.SSLCertVerificationError):
                return BackendError(
                    f"{self.place} has a certificate that is not trusted "
                    f"({deeper.verify_message}): name the authority's file with --ca-file"
                )
            deeper = deeper.__cause__ or deeper.__context__
        said = (
            str(error) if isinstance(error, BrokenOff) else type(error.__cause__ or error).__name__
        )
        return TransportError(
            f"{self.place} could not be reached or broke off ({said})",
            maybe_billed=not isinstance(error, NotConnected),
        )

    def _read(self, received: Received, wanted: int) -> dict[str, Any]:
        """The answer in a body; a body that is none is a failure on the way."""
        content = received.content
        try:
            raw = _object(content)
            if not isinstance(raw, dict):
                raise ValueError(f"{type(raw).__name__} in place of an object")
        except (ValueError, RecursionError) as error:
            kind = received.headers.get("content-type", "")
            raise TransportError(
                f"{self.place} answered {len(content)} bytes of "
                f"{self.cleaned(kind) or 'no content type'} that are no JSON object "
                f"({str(error)[:60]})",
                maybe_billed=True,
            ) from None
        if (told := error_in(raw)) is not None:
            return self._trouble(Trouble.of(told), 0.0)
        if not wanted:
            return spelled(raw)
        kept = self.redacted(raw) if suspected(content, self.secrets) else raw
        kept = spelled(kept)
        try:
            if wanted == 1:
                return Parsed(kept, read_response(content if kept is raw else kept))
            for answer in split(kept, wanted):
                read_response(answer)
        except ResponseError as error:
            raise BackendError(
                f"{self.place} does not speak the OpenAI protocol at this address "
                f"({str(error)[:300]}): most servers want a base URL that ends in /v1"
            ) from None
        return kept

    def _refusal(self, received: Received) -> dict[str, Any]:
        """An error status: a filtered prompt is an answer, the rest is raised."""
        status, headers = received.status, received.headers
        if 300 <= status < 400:
            to = self.cleaned(headers.get("location", ""))[:200]
            raise BackendError(
                f"{self.place} answered {status}: it is at {to or 'another address'!r}, and no "
                "key is sent where it was not meant to go: if that is right, give it as --base-url"
            )
        return self._trouble(Trouble.of(_told(received), status), retry_after(headers))

    def _trouble(self, said: Trouble, wait: float) -> dict[str, Any]:
        """What a server's error means for the run: a filtered prompt is an answer."""
        words = self.cleaned(said.words)
        if said.filtered:
            return self.filtered(words)
        text = f"{self.place} answered {said.status} to model {self.model!r}: {words}"
        if said.exhausted(wait):
            raise BackendError(f"{text}: add credit, then run the same command to go on")
        if said.passing:
            raise TransportError(text, rate_limited=said.crowded, retry_after=wait)
        if "max_completion_tokens" in words:
            text += ": add --max-tokens-field max_completion_tokens"
        elif "logprob" in words.lower():
            text += f": this model gives no log-probabilities, or fewer; {USE}"
        raise BackendError(text)

    def redacted(self, raw: dict[str, Any]) -> dict[str, Any]:
        """A response without the key and the values of secret headers, if it echoes them."""
        return redacted(raw, self.secrets)

    def cleaned(self, words: str) -> str:
        """Words of a server without secrets."""
        return cleaned(words, self.secrets)

    def filtered(self, reason: str) -> dict[str, Any]:
        """What is stored where a server's filter refused the prompt itself."""
        message = {"role": "assistant", "content": "", "refusal": reason or "filtered"}
        choice = {"index": 0, "finish_reason": "content_filter", "message": message}
        return {"model": self.model, "choices": [choice], "filtered_prompt": True}

    async def close(self) -> None:
        """Close the connections; the next call opens new ones."""
        self._secrets = None
        await self._clients.close()


def _object(content: bytes) -> Any:
    """Decoded JSON, as Python reads it: NaN and numbers beyond 64 bits too."""
    try:
        return msgspec.json.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return json.loads(content)


def _told(received: Received) -> Any:
    """The error in a body, or the words that it is."""
    try:
        told = _object(received.content)
    except (ValueError, RecursionError):
        text = received.content[:2000].decode(errors="replace").strip()
        # A page says nothing in its first line.
        return text if text and not text.startswith("<") else f"Error code: {received.status}"
    if isinstance(told, Mapping):
        return told.get("error") or told
    return told if isinstance(told, str) else f"Error code: {received.status}"
