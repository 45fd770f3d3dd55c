"""Models that reason before they answer, and so give no log-probabilities."""

from __future__ import annotations

import re

from llmdemand.errors import UsageError

__all__ = ["REASONING", "USE", "refuse_reasoning"]

REASONING = re.compile(r"(?:.*/)?(?:o[134](?:-|$)|gpt-5|.*deep-research)")
# The only reasoning models that can be told not to reason, and then give log-probabilities.
_OPTIONAL = re.compile(r"(?:.*/)?gpt-5\.[12](?:-\d|$)")
USE = (
    "use gpt-4o, gpt-4.1, gpt-5.1 with reasoning effort 'none', a model that you host, or "
    "`--backend choice_only` for choices without belief"
)


def refuse_reasoning(model: str, effort: str | None) -> None:
    """Refuse models that reason before they answer, and so give no log-probabilities.

    Raises
    ------
    UsageError
        With the reason and the alternatives.
    """
    if _OPTIONAL.match(model) and effort == "none":
        return
    if effort not in (None, "none"):
        raise UsageError(
            f"reasoning effort {effort!r} leaves no log-probabilities, so no belief: use 'none'"
        )
    if _OPTIONAL.match(model):
        raise UsageError(
            f"{model} gives log-probabilities only when it does not reason: add "
            "--reasoning-effort none"
        )
    if REASONING.match(model):
        raise UsageError(
            f"{model} reasons before it answers and returns no log-probabilities, so it has no "
            f"belief: {USE}"
        )
