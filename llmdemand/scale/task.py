"""What a worker is sent, and what it sends back."""

from __future__ import annotations

import hashlib
import pickle
import threading
import traceback
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from llmdemand.errors import LLMDemandError, UsageError

__all__ = ["Task", "received", "source"]


class Task:
    """A function, pickled once however many shards it is sent with.

    Parameters
    ----------
    function : callable
        Of one argument, a shard. What it holds, as a partial or the attributes of a callable
        object, lives in each thread of each worker as long as the map does.
    source : str
        Of the sender, where workers may run another version: see `source`.

    Raises
    ------
    UsageError
        If the function cannot be sent to other processes.
    """

    def __init__(self, function: Callable[[Any], Any], source: str = "") -> None:
        try:
            self.body = pickle.dumps(function)
        except (pickle.PicklingError, AttributeError, TypeError) as error:
            raise UsageError(
                f"{function!r} cannot be sent to other processes ({error}): give a function that "
                "a module defines, or work in this process"
            ) from None
        self.key = hashlib.sha256(self.body).digest()
        self.source = source

    def __call__(self, shard: Any) -> bytes:
        """Do the work, in a worker: what `received` reads."""
        try:
            return pickle.dumps((self._function()(shard), None))
        except Exception as error:
            return _failed(error)

    def _function(self) -> Callable[[Any], Any]:
        if getattr(_KNOWN, "key", None) != self.key:
            if self.source and self.source != source():
                raise UsageError(
                    f"a worker runs another llmdemand ({source()}) than this process "
                    f"({self.source}): its numbers may differ, install the same on both"
                )
            try:
                _KNOWN.function = pickle.loads(self.body)
            except (AttributeError, ImportError) as error:
                raise UsageError(
                    f"a worker cannot load what it is to do ({error}): install the same packages "
                    "there, and give functions that a module of them defines"
                ) from None
            _KNOWN.key = self.key
        found: Callable[[Any], Any] = _KNOWN.function
        return found


# What a thread knows: the function of the map under way. Threads of a worker do not share it, so
# that no function need be safe to call from several at once.
_KNOWN = threading.local()


def _failed(error: Exception) -> bytes:
    """An error as its caller can read it, whatever its class is made of."""
    if not isinstance(error, LLMDemandError):
        error.add_note(f"In a worker:\n{traceback.format_exc()}")
    try:
        found = pickle.dumps((None, error))
        pickle.loads(found)
    except Exception:
        said = RuntimeError(f"{type(error).__name__}: {error}")
        said.add_note(f"In a worker:\n{traceback.format_exc()}")
        return pickle.dumps((None, said))
    return found


def received(sent: bytes) -> Any:
    """The result that a worker sent, or its error, raised."""
    result, error = pickle.loads(sent)
    if error is not None:
        raise error
    return result


@cache
def source() -> str:
    """Which llmdemand this process runs: its version, and the beginning of its files' hash.

    >>> source().split()[0]
    '0.1.0'
    """
    from llmdemand import __version__

    root, digest = Path(__file__).parents[1], hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        digest.update(path.relative_to(root).as_posix().encode() + path.read_bytes())
    return f"{__version__} {digest.hexdigest()[:12]}"
