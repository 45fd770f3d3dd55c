"""Logs of inspect_ai and EDSL, and arrays: many responses in one object."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from msgspec import UNSET, Raw, Struct

from llmdemand.belief.readers.shapes import Line, MaybeRaw, decode, is_null
from llmdemand.errors import ResponseError

__all__ = ["expanded"]

_EDSL = "_raw_model_response"


class _Sample(Struct):
    id: Any = None
    epoch: Any = 1
    output: MaybeRaw = UNSET
    error: Any = None


class _Row(Struct):
    raw_model_response: dict[str, Raw] | None = None
    scenario: Any = None
    iteration: Any = 0


def expanded(line: Line) -> Iterator[tuple[str, Any, Any]]:
    """Where, run id and response (bytes of JSON, or an error) of each answer in a log."""
    if line.samples is not UNSET:
        for place, sample in enumerate(decode(line.samples, list[Raw], "inspect_ai log"), 1):
            yield f"sample {place}", *sampled(sample)
    elif line.data is not UNSET:
        for place, row in enumerate(decode(line.data, list[_Row], "EDSL results"), 1):
            yield f"result {place}", *_asked(row)


def sampled(data: Any) -> tuple[Any, Any]:
    """Run id and response of a sample of inspect_ai.

    The sample's id is the run's, or the cell, of which each epoch is a replicate.
    """
    sample: _Sample = decode(data, _Sample, "inspect_ai sample")
    name = sample.id
    if str(name).isdigit() and isinstance(sample.epoch, int):
        name = f"{name}-{sample.epoch - 1}"
    if sample.error or is_null(sample.output):
        return name, {"error": sample.error or "the sample has no output"}
    return name, sample.output


def _asked(row: _Row) -> tuple[Any, Any]:
    """Run id and response of an EDSL result: the scenario says which run it is."""
    scenario = row.scenario if isinstance(row.scenario, dict) else {}
    name = scenario.get("run_id", scenario.get("custom_id"))
    if name is None and "cell" in scenario:
        name = f"{scenario['cell']}-{row.iteration}"
    answers = [
        raw
        for key, raw in (row.raw_model_response or {}).items()
        if not is_null(raw) and key.endswith(_EDSL)
    ]
    if len(answers) > 1:
        raise ResponseError(
            f"this result holds {len(answers)} questions: keep the one that asks for the choice"
        )
    return name, answers[0] if answers else {"error": "the result has no raw_model_response"}
