"""Prompt templates: variants of the wording, placeholders, the disclosure of the design."""

from __future__ import annotations

import re
import string
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from llmdemand.errors import StudyError, nearest

# Characters to which a field of a template may be filled up, and decimals that it may have.
_WIDEST = 1000

__all__ = ["DISCLOSURE", "Variant", "disclosed", "names", "offered", "placeholders", "scaled"]

#: What the unblinded arm is told, unless the study words it otherwise.
DISCLOSURE = (
    "Please note: this is an experiment. The researchers drew the prices shown here at random. "
    "A price therefore says nothing about the quality of a product, its demand, the season, "
    "special offers, competitors or anything else about the situation; all of that is the same "
    "at every price."
)


@dataclass(frozen=True, slots=True)
class Variant:
    """One wording of the prompt; what it leaves out is the study's own.

    Attributes
    ----------
    id : str
        Name in the column ``variant``.
    system, user, offer : str or None
        Templates in place of the study's; None keeps the study's.
    price_scale : float or None
        Factor on prices when the templates are filled; None keeps the study's.

    Examples
    --------
    Prices of a study in cents, shown in dollars:

    >>> dollars = Variant("dollars", offer="- {label}: ${price:.2f}", price_scale=0.01)
    >>> dollars.offer.format(label="Pampers", price=scaled(35.0, dollars.price_scale))
    '- Pampers: $0.35'
    """

    id: str
    system: str | None = None
    user: str | None = None
    offer: str | None = None
    price_scale: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain data: the id and what differs from the study.

        >>> Variant("short", user="{offers} Which?").to_dict()
        {'id': 'short', 'user': '{offers} Which?'}
        """
        fields = ("id", "system", "user", "offer", "price_scale")
        return {k: getattr(self, k) for k in fields if getattr(self, k) is not None}


def scaled(price: float, scale: float | None) -> float:
    """A price as templates show it.

    The product is rounded to 12 digits: 35 x 0.01 is 0.35000000000000003 in binary, and a
    template without a format would print all of it.

    >>> scaled(35.0, 0.01)
    0.35
    """
    return price if scale in (None, 1.0) else float(f"{price * (scale or 1.0):.12g}")


def disclosed(system: str, user: str, disclosure: str, mode: str) -> tuple[str, str]:
    r"""System and user text with the disclosure where no template placed it.

    It is the last paragraph of the system text in a chat, and precedes the text that is
    to be continued in a completion, so that what is asked keeps its place in both.

    >>> disclosed("You shop.", "Which?", "Prices are random.", "chat")
    ('You shop.\n\nPrices are random.', 'Which?')
    """
    if mode == "chat":
        return (f"{system}\n\n{disclosure}" if system else disclosure), user
    return system, f"{disclosure}\n\n{user}"


@lru_cache(maxsize=256)
def names(template: str) -> tuple[str, ...]:
    """Names of the fields of a template, in order.

    Raises
    ------
    ValueError
        For unbalanced braces.

    Examples
    --------
    >>> names("{label}: {price:.2f} {{really}}")
    ('label', 'price')
    """
    return tuple(name for _, name, _, _ in string.Formatter().parse(template) if name is not None)


def offered(template: str, alternative: str, persona: Mapping[str, str], **fixed: Any) -> str:
    """One offer; what is not `fixed` comes from the persona's field for the alternative.

    >>> offered("{label}: {minutes} minutes", "air", {"minutes_air": "100"}, label="Air")
    'Air: 100 minutes'
    """
    own = {x: persona[f"{x}_{alternative}"] for x in names(template) if x not in fixed}
    return template.format(**fixed, **own)


def placeholders(template: str, where: str, allowed: set[str]) -> set[str]:
    """Field names in a template.

    Parameters
    ----------
    template : str
        With fields in braces, as `str.format` fills them.
    where : str
        Name of the template in messages.
    allowed : set of str
        What can be filled.

    Returns
    -------
    set of str

    Raises
    ------
    StudyError
        For unbalanced braces, a format that fills memory, or a field that nothing fills, with
        the nearest that is filled.

    Examples
    --------
    >>> sorted(placeholders("{label}: {price:.2f}", "offer", {"label", "price"}))
    ['label', 'price']
    """
    try:
        parsed = names(template)
    except ValueError as error:
        raise StudyError(
            f"template {where} has unbalanced braces ({error}): write {{{{ and }}}}"
        ) from None
    for _, name, form, _ in string.Formatter().parse(template):
        numbers = [int(n) for n in re.findall(r"[0-9]{1,9}", form or "")]
        if "{" in (form or "") or max(numbers, default=0) > _WIDEST:
            raise StudyError(
                f"template {where} has the format {form!r} for {{{name}}}: give a width or a "
                f"number of decimals up to {_WIDEST}, written out, such as {{{name}:.2f}}"
            )
    for name in parsed:
        if name not in allowed:
            raise StudyError(
                f"template {where} uses {{{name}}}{nearest(name, sorted(allowed))}, which "
                f"nothing fills: known are {', '.join(sorted(allowed))}"
            )
    return set(parsed)
