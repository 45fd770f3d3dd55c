"""Which keys the running processes of this machine are asking right now."""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from pathlib import Path
from typing import Any

__all__ = ["Claims"]


def _as(store: Path) -> Any:
    """Opens a file that those may use who may use the store."""
    mode = store.stat().st_mode & 0o666 if store.exists() else 0o600
    return lambda name, flags: os.open(name, flags, mode)


class Claims:
    """Keys that running processes are asking: byte locks, which die with their process.

    Locks and not rows of the database, because nothing has to clean up after a
    process that was killed. Their file goes when its last user closes it.

    Parameters
    ----------
    store : Path
        The store whose keys are claimed.
    """

    def __init__(self, store: Path) -> None:
        # Locks do not reach beyond this machine, so their file need not lie beside the store.
        place = hashlib.sha256(str(store.resolve()).encode()).hexdigest()[:16]
        self._path = Path(tempfile.gettempdir(), f"llmdemand-{place}.claims")
        try:
            import fcntl
        except ImportError:  # Windows: two processes may then ask the same twice
            self._lock: Any = None
            return
        self._lock = fcntl
        while True:
            # Held open for as long as keys are claimed: closing it would free them.
            self._file = open(self._path, "a+b", opener=_as(store))  # noqa: SIM115
            fcntl.flock(self._file, fcntl.LOCK_SH)
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(self._path.stat(), os.fstat(self._file.fileno())):
                    return
            # Its last user removed it just now: claims on it would be seen by nobody.
            self._file.close()

    def take(self, key: str) -> bool:
        """Claim a key; False if another process has it."""
        if self._lock is None:
            return True
        try:
            self._lock.lockf(
                self._file, self._lock.LOCK_EX | self._lock.LOCK_NB, 1, int(key[:15], 16)
            )
        except OSError:
            return False
        return True

    def give(self, key: str) -> None:
        """Give a key back."""
        if self._lock is not None:
            self._lock.lockf(self._file, self._lock.LOCK_UN, 1, int(key[:15], 16))

    def close(self) -> None:
        """Give all keys back, and remove the file if nobody else uses it."""
        if self._lock is None:
            return
        # Nobody else has it open if it can be had alone.
        with contextlib.suppress(OSError):
            self._lock.flock(self._file, self._lock.LOCK_EX | self._lock.LOCK_NB)
            self._path.unlink(missing_ok=True)
        self._file.close()
