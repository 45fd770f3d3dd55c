"""What a cell asks, as one digest: equal for equal content, whatever study lists it where."""

from __future__ import annotations

import hashlib
import json
from typing import Any

__all__ = ["digest"]


def digest(**parts: Any) -> str:
    """24 hexadecimal digits of the SHA-256 of named parts; parts that are None are left out.

    New kinds of content (attributes of alternatives, say) are further parts: a study without
    them keeps its digests. Numbers count as the shortest decimals that they are.

    >>> digest(prices={"tea": 0.3}, persona=None) == digest(prices={"tea": 0.3})
    True
    """
    given = {name: part for name, part in parts.items() if part is not None}
    written = json.dumps(given, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(written.encode()).hexdigest()[:24]
