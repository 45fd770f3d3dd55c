"""Values inside a script element."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from markupsafe import Markup

__all__ = ["scripted"]


def scripted(value: Any) -> Markup:
    r"""Strict JSON that cannot end the script element that it stands in.

    Inside one nothing is unescaped, and ``</script>`` would end it.

    >>> scripted(["</script>"])
    Markup('["\\u003c/script\\u003e"]')
    """
    from markupsafe import Markup

    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    for sign in "<>&\u2028\u2029":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return Markup(text)
