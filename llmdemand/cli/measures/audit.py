"""The audit of measures that are not model belief."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmdemand.cli.output import print_json, records, say

if TYPE_CHECKING:
    from llmdemand.belief.measures.coherence import Coherence
    from llmdemand.core.shards.shards import AnyPanel


def audit_measure(panel: AnyPanel, choices: Path | None, as_json: bool) -> None:
    """The audit of a panel whose probabilities are not those of tokens."""
    from llmdemand.belief.measures.coherence import check_coherence
    from llmdemand.core.questionnaire.measure import MEASURES
    from llmdemand.core.shards.shards import read_panel

    found = check_coherence(panel, None if choices is None else read_panel(choices))
    if as_json:
        print_json(coherence_facts(found))
        return
    say(f"measure: {found.measure}, {MEASURES[found.measure]}\n{found.summary()}")


def coherence_facts(found: Coherence) -> dict[str, Any]:
    """What ``--json`` says of the coherence of a measure."""
    plain = {k: v for k, v in vars(found).items() if k not in ("prices", "own")}
    own = None if found.own is None else records(found.own.reset_index())
    return {**plain, "prices": records(found.prices), "own": own}
