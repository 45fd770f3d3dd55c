"""Answers that a store did not take: they are paid for, and go elsewhere."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

from llmdemand.core.written import opened
from llmdemand.errors import StoreError
from llmdemand.simulation.storing.records import Source, Stored, exported

__all__ = ["rescue"]


def rescue(path: Path, source: Source, lost: Sequence[Stored], reason: StoreError) -> StoreError:
    """Save answers that a store did not take where there is space; the error that says so."""
    folders = [path.parent, Path(tempfile.gettempdir()), Path.home()]
    for folder in folders:
        file = folder / f"{path.stem}.rescued-{os.getpid()}.jsonl"
        try:
            with opened(file, "a") as out:
                for stored in lost:
                    out.write(json.dumps(exported(source, stored)) + "\n")
                out.flush()
                os.fsync(out.fileno())
        except OSError:
            continue
        return StoreError(
            f"{reason}; {len(lost)} answers that it did not take are in {file}: bring them in "
            f"with `llmdemand store import {path} {file}`, then run the same command"
        )
    return StoreError(f"{reason}; {len(lost)} answers could be written nowhere and are lost")
