"""How tastes vary, and how that is simulated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from llmdemand.errors import UsageError, choose
from llmdemand.modeling.arrays import Array
from llmdemand.modeling.substitution.draws import Sequence as DrawSequence
from llmdemand.modeling.substitution.laws import Space
from llmdemand.modeling.substitution.pairwise import Answers

__all__ = ["Mixing"]


@dataclass(frozen=True)
class Mixing:
    """How tastes vary, and how that is simulated.

    Attributes
    ----------
    random : mapping of str to str
        Laws by term or variable: see `llmdemand.modeling.substitution.laws.LawName`.
    correlated, space, price
        See `laws.law_of`.
    draws : int, array or None
        Draws of each respondent; (I, draws, Q) points of the uniform law of one's own; None for
        as many as make estimates steady: doubled until none moves by a tenth of its SE.
    sequence : str
        ``sobol``, ``halton`` or ``mlhs``.
    likelihood : str or None
        ``sequence`` or ``pairwise``; None for pairwise where outcomes are corrected beliefs.
    sequences : int
        Panels of choices that are drawn from each respondent's beliefs.
    starts : int
        Starts that are compared, with few draws.
    seed : int
        Of draws, of panels from beliefs and of starts.

    Raises
    ------
    UsageError
        For impossible values.
    """

    random: Mapping[str, str]
    correlated: bool | Sequence[str] = False
    space: Space = "preference"
    price: str = "price"
    draws: int | Array | None = 500
    sequence: DrawSequence = "sobol"
    likelihood: Answers | None = None
    sequences: int = 20
    starts: int = 3
    seed: int = 1

    def __post_init__(self) -> None:
        if not isinstance(self.random, Mapping):
            raise UsageError(
                f"random={self.random!r}: give the law of each coefficient that varies, as in "
                "random={'price': 'lognormal-', 'brand': 'normal'}"
            )
        choose(self.space, Space, "space")
        for name, least in (("sequences", 2), ("starts", 1), ("seed", 0)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
                raise UsageError(f"{name}={value!r}, expected a whole number from {least} on")
