"""The law of belief about known shares."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from llmdemand.errors import UsageError

if TYPE_CHECKING:
    import numpy as np

__all__ = ["Beliefs"]


@dataclass(frozen=True)
class Beliefs:
    """Beliefs that differ from run to run about shares s, their mean.

    ``b ~ Dirichlet(phi s)`` with ``phi = 1 / icc - 1``: each belief is Beta with mean s and
    variance ``icc s (1 - s)``, so that `icc` is the share of the choice variance that lies
    between runs. It is drawn as the focal belief, ``Beta(phi p, phi (1 - p))``, and how the
    others divide the rest, which is independent of it: ``Dirichlet(phi (1 - p) split)``.

    Attributes
    ----------
    icc : float
        Intra-cell correlation, above 0 and below 1.
    split_icc : float or None
        Of the division instead: 0 keeps it fixed, else ``Dirichlet((1 / split_icc - 1) split)``;
        belief in the focal alternative is the same. None is the Dirichlet law of all shares.

    Examples
    --------
    >>> import numpy as np
    >>> split = {"huggies": 0.8, "neither": 0.2}
    >>> found = Beliefs(0.054).drawn(0.5, split, "pampers", np.random.default_rng(1), seed=1)
    >>> list(found), round(sum(found.values()), 12)
    (['pampers', 'huggies', 'neither'], 1.0)
    """

    icc: float
    split_icc: float | None = None

    def __post_init__(self) -> None:
        # Comparisons are such that NaN fails them.
        if not 0 < self.icc < 1:
            raise UsageError(
                f"icc={self.icc} is no intra-cell correlation: give a number between 0 and 1"
            )
        if self.split_icc is not None and not 0 <= self.split_icc < 1:
            raise UsageError(
                f"split_icc={self.split_icc} is no intra-cell correlation: give a number from 0 to "
                "below 1"
            )

    def drawn(
        self, p: float, split: Mapping[str, float], focal: str, rng: np.random.Generator, seed: int
    ) -> dict[str, float]:
        """One run's beliefs by alternative, the focal one first.

        `rng` gives the focal belief; the division comes from a generator of its own made of
        `seed`, so that it changes nothing else of an answer.
        """
        import numpy as np

        size = 1 / self.icc - 1
        # The Beta law has no room left where the share is 0 or 1 to the last digit.
        belief = float(rng.beta(p * size, (1 - p) * size)) if 0 < p < 1 else p
        rest = size * (1 - p)
        if self.split_icc is not None:
            rest = 1 / self.split_icc - 1 if self.split_icc else 0.0
        if rest:
            alone = np.random.default_rng([seed, 1])
            parts = alone.dirichlet([s * rest for s in split.values()]).tolist()
            split = dict(zip(split, parts, strict=True))
        return {focal: belief, **{a: (1 - belief) * s for a, s in split.items()}}
