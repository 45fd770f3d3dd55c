"""What a folder of batch files was written for."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from llmdemand.core.study import Study
from llmdemand.core.written import json_of, opened
from llmdemand.errors import UsageError
from llmdemand.simulation.backends.choice_only import ChoiceOnlyBackend
from llmdemand.simulation.backends.openai import OpenAIBackend

__all__ = ["backend_of", "keep_manifest", "read_manifest"]

# Fields of a study in which it may grow.
_LEVELS = "title description personas variants arms disclosure orders points runs".split()


def backend_of(study: Study, model: str, options: Mapping[str, Any]) -> OpenAIBackend:
    """Whose answers those of the batch are; it is asked nothing."""
    given = {"model": model, "needs_key": False, **options}
    if study.measure == "logprob":
        return OpenAIBackend(**given)
    return ChoiceOnlyBackend.server(**given)


def keep_manifest(path: Path, manifest: Mapping[str, Any]) -> None:
    """Write what is asked; a folder's batch may grow by runs and by levels of its factors.

    Raises
    ------
    UsageError
        If the folder holds the batch of something else.
    """
    written = json.loads(json.dumps(manifest))
    if path.exists():
        before = read_manifest(path)
        if _but_for_levels(before) != _but_for_levels(written):
            raise UsageError(
                f"{path.parent} holds the batch of another study, model, seed or server: give "
                "another folder with --out"
            )
        written["runs"] = max(before["runs"], written["runs"])
    with opened(path) as file:
        file.write(json.dumps(written, indent=1))


def _but_for_levels(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """What a batch has to keep: answers to other levels are told by their ids."""
    study = {k: v for k, v in manifest["study"].items() if k not in _LEVELS}
    alternatives = [
        {k: v for k, v in alternative.items() if k != "price"}
        for alternative in study.get("alternatives", ())
    ]
    return {**manifest, "runs": 0, "study": {**study, "alternatives": alternatives}}


def read_manifest(path: Path) -> dict[str, Any]:
    """What `keep_manifest` wrote.

    Raises
    ------
    UsageError
        If there is none.
    """
    try:
        found = json_of(path.read_text("utf-8"))
        if not {"study", "runs", "seed", "model", "options"} <= set(found):
            raise ValueError("fields are missing")
    except FileNotFoundError:
        raise UsageError(
            f"no batch in {path.parent}: `llmdemand batch write STUDY --out {path.parent}` first"
        ) from None
    except (ValueError, TypeError) as error:
        raise UsageError(f"{path} is no manifest of a batch ({error}): write it again") from None
    return dict(found)
