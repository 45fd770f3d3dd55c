"""Shares of a nested logit and how they respond, for consumers whose demand is known.

Simulation and modeling share no code: a fit that meets this truth has not met itself.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Real

from llmdemand.errors import UsageError, nearest

__all__ = ["Nests", "log_sum"]


@dataclass(frozen=True)
class Nests:
    """Which alternatives are closer substitutes for each other than for the rest.

    With utilities ``v``, dissimilarity ``l_m`` of nest m, and every alternative that no nest
    names in one of its own::

        I_m = log sum_(k in m) exp(v_k / l_m)
        log s_j = v_j / l_m - I_m + l_m I_m - log sum_n exp(l_n I_n)     (j in m)
        d log s_j / d v_k = [j = k] / l_m + [k in m] (1 - 1 / l_m) s_(k|m) - s_k

    (McFadden 1978; Train 2009, section 4.2.) Without nests it is the logit.

    Attributes
    ----------
    members : tuple of tuple of str
        Alternatives by nest, those that stand alone among them; no one twice.
    dissimilarity : tuple of float
        In (0, 1], by nest: 1 is the logit, towards 0 the members become one another's only
        substitutes.

    Examples
    --------
    >>> nests = Nests.of(("a", "b", "c"), {"ab": ("a", "b")}, 0.5)
    >>> {k: round(math.exp(s), 4) for k, s in nests.log_shares({"a": 0, "b": 0, "c": 0}).items()}
    {'a': 0.2929, 'b': 0.2929, 'c': 0.4142}
    """

    members: tuple[tuple[str, ...], ...]
    dissimilarity: tuple[float, ...]

    @classmethod
    def of(
        cls,
        ids: Sequence[str],
        nests: Mapping[str, Sequence[str]] | None = None,
        dissimilarity: float | Mapping[str, float] | None = None,
    ) -> Nests:
        """Nests by name, checked against the alternatives that there are.

        Parameters
        ----------
        ids : sequence of str
            All alternatives.
        nests : mapping of str to sequence of str, optional
            The alternatives of each nest, two at least.
        dissimilarity : float or mapping of str to float, optional
            Of all nests, or by nest.

        Raises
        ------
        UsageError
            For alternatives that are unknown or named twice, a nest of fewer than two, and a
            dissimilarity that is missing or outside (0, 1].
        """
        nests = dict(nests or {})
        if bool(nests) != (dissimilarity is not None):
            lacking = "dissimilarity" if nests else "nests"
            raise UsageError(
                f"nests={nests} and dissimilarity={dissimilarity} belong together: give {lacking} "
                "too, as nests={'brands': ['pampers', 'huggies']}, dissimilarity=0.5"
            )
        taken: dict[str, str] = {}
        for name, members in nests.items():
            if isinstance(members, str) or len(members) < 2:
                raise UsageError(f"nest {name!r} is {members!r}: give a list of two or more ids")
            for a in members:
                if a not in ids:
                    raise UsageError(
                        f"nest {name!r} names no alternative of the menu with {a!r}"
                        f"{nearest(a, tuple(ids))}: use {', '.join(ids)}"
                    )
                if a in taken:
                    raise UsageError(
                        f"{a!r} is in nest {taken[a]!r} and in {name!r}, or twice in one: an "
                        "alternative has one nest"
                    )
                taken[a] = name
        if isinstance(dissimilarity, Mapping):
            if set(dissimilarity) != set(nests):
                raise UsageError(
                    f"dissimilarity is of {', '.join(dissimilarity) or 'no nest'}, and the nests "
                    f"are {', '.join(nests)}: give one for each nest"
                )
            values = [dissimilarity[name] for name in nests]
        else:
            values = [1.0 if dissimilarity is None else dissimilarity] * len(nests)
        for name, value in zip(nests, values, strict=True):
            if not (isinstance(value, Real) and 0 < value <= 1):
                raise UsageError(
                    f"dissimilarity {value} of nest {name!r}: give a number above 0 and at most "
                    "1, where 1 is the logit"
                )
        alone = [(a,) for a in ids if a not in taken]
        return cls(
            (*(tuple(m) for m in nests.values()), *alone),
            (*map(float, values), *(1.0 for _ in alone)),
        )

    def log_shares(self, utilities: Mapping[str, float]) -> dict[str, float]:
        """Logarithms of the shares; an alternative of utility minus infinity has none."""
        inside = [
            log_sum(utilities[a] / value for a in members)
            for members, value in zip(self.members, self.dissimilarity, strict=True)
        ]
        upper = [value * i for value, i in zip(self.dissimilarity, inside, strict=True)]
        whole = log_sum(upper)
        found = {
            a: -math.inf if i == -math.inf else utilities[a] / value - i + u - whole
            for members, value, i, u in zip(
                self.members, self.dissimilarity, inside, upper, strict=True
            )
            for a in members
        }
        return {a: found[a] for a in utilities}

    def responses(self, shares: Mapping[str, float]) -> dict[str, dict[str, float]]:
        """``d log s_j / d v_k`` by j, then k, from the shares."""
        found = {j: {k: -shares[k] for k in shares} for j in shares}
        for members, value in zip(self.members, self.dissimilarity, strict=True):
            whole = sum(shares[k] for k in members)
            for j in members:
                found[j][j] += 1 / value
                for k in members:
                    # Of a nest that nobody buys from, a member has a nest's share to itself.
                    within = shares[k] / whole if whole else 1 / len(members)
                    found[j][k] += (1 - 1 / value) * within
        return found


def log_sum(values: Iterable[float]) -> float:
    """``log sum exp``, of any size.

    >>> round(log_sum([1000.0, 1000.0]) - 1000, 6), log_sum([-math.inf])
    (0.693147, -inf)
    """
    values = list(values)
    largest = max(values)
    if largest == -math.inf:
        return largest
    return largest + math.log(sum(math.exp(v - largest) for v in values))
