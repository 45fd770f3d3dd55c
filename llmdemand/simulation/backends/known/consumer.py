"""Consumers whose demand is known: what they want at which prices."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from numbers import Real

from llmdemand.core.menu import Menu
from llmdemand.errors import UsageError, nearest
from llmdemand.simulation.backends.known.nests import Nests, log_sum

__all__ = ["LAWS", "Consumer", "Levels", "uniform"]

#: Laws of the slope over personas.
LAWS = ("normal", "lognormal")
#: Levels by attribute, then alternative.
Levels = Mapping[str, Mapping[str, float | str]]
# exp() of more than this overflows; the share is then 0 to every digit anyway.
_LARGEST_EXPONENT = 700.0
# Prices are decimal fractions: 3.3 is a multiple of 0.1, though not in binary.
_MULTIPLE = 1e-9
_NUMBERS = (
    "slope indifference outside order_effect round_price_uptick round_to persona_sd "
    "persona_slope_sd persona_seed persona_constant_sd"
).split()


@dataclass(frozen=True)
class Consumer:
    """A multinomial logit consumer of a market: own and rival prices, nests, tastes.

    The utilities of the alternatives to persona i, of which shares are the (nested) logit, are
    for the focal alternative f at price x, a rival j at price p_j and an outside option o::

        v_f = s_i (x - m_i)       + e_if + u [x is a multiple of r]
        v_j = log c_j + s_i (p_j - q_j) + e_ij
        v_o = log c_o
        m_i = indifference + persona_sd N(0, 1),  e_ij = persona_constant_sd N(0, 1)
        s_i = slope + persona_slope_sd N(0, 1),   or slope exp(t N(0, 1) - t^2 / 2)

    where u is `round_price_uptick`, r is `round_to`, t^2 = log(1 + (persona_slope_sd / slope)^2)
    makes the lognormal slopes have the same mean and standard deviation, q_j is the price of
    `usual` of the rival, and c the fixed division of what the focal alternative leaves (sum 1:
    `outside` of it to outside options). Alternatives with attributes have the utility of each
    level besides (`part_worths`). To the alternative that is shown first `order_effect` is
    added. With `constants` a instead, ``v_j = a_j + s_i p_j + e_ij`` for all that have a price.

    With the focal alternative in a nest of its own its log-odds are ``v_f - log sum exp(v)`` of
    the rest, and with the rivals at their usual prices that sum is zero: the published
    reconstruction, ``logit p = slope (x - indifference)``.

    Parameters
    ----------
    menu : Menu
        The choice set.
    focal : str
        The alternative whose demand is estimated.
    slope : float
        Price sensitivity, utility per unit of price, the same for all alternatives.
    indifference : float
        Price at which the focal share is one half.
    outside : float
        Share of the other alternatives' probability that outside options take.
    order_effect : float
        Utility for the alternative that is shown first; in the logit its log-odds.
    round_price_uptick : float
        Utility of the focal alternative at round prices.
    round_to : float
        Prices that are multiples of this are round, in the study's unit.
    persona_sd : float
        Standard deviation of the indifference price over personas, price units.
    persona_slope_sd : float
        Standard deviation of the slope over personas.
    persona_seed : int
        Another seed gives other people; a persona depends on this and its id alone.
    rival_slope : float, optional
        In place of rivals' prices in their own utilities: log-odds of the focal alternative per
        unit by which the rivals' mean price exceeds its mean in `usual`. The division of the
        rest then is the same at all prices, as of no consumer who compares.
    usual : mapping of str to float
        Prices of the rivals at which the focal curve is the given one. A rival that is not
        named has no price to feel.
    constants : mapping of str to float, optional
        Utilities at price 0 of all alternatives; outside options have 0 unless named.
    nests : Nests, optional
        None by default: the logit.
    persona_constant_sd : float
        Standard deviation over personas of the utility of each inside alternative.
    part_worths : mapping of str to mapping
        Utility by attribute, then level; levels that are not named have 0.
    persona_slope_law : str
        ``normal``, with which some personas may like high prices, or ``lognormal``.

    Raises
    ------
    UsageError
        For a value that is no number, a negative standard deviation, a share outside [0, 1],
        constants that do not fit the menu, options that exclude each other.

    Examples
    --------
    >>> menu = Menu.of("Pampers", "Huggies", outside="neither")
    >>> consumer = Consumer(menu, "pampers", slope=-0.5, indifference=35, order_effect=0.4)
    >>> consumer.probability(35), round(consumer.probability(35, order=("pampers",)), 3)
    (0.5, 0.599)
    >>> market = Consumer(menu, "pampers", -0.5, 35, usual={"huggies": 30.0})
    >>> {a: round(s, 3) for a, s in market.shares({"pampers": 35, "huggies": 28}).items()}
    {'pampers': 0.296, 'huggies': 0.644, 'neither': 0.059}
    """

    menu: Menu
    focal: str
    slope: float = -0.535
    indifference: float = 34.8
    outside: float = 0.2
    order_effect: float = 0.0
    round_price_uptick: float = 0.0
    round_to: float = 5.0
    persona_sd: float = 0.0
    persona_slope_sd: float = 0.0
    persona_seed: int = 0
    rival_slope: float | None = None
    usual: Mapping[str, float] = field(default_factory=dict)
    constants: Mapping[str, float] | None = None
    nests: Nests | None = None
    persona_constant_sd: float = 0.0
    persona_slope_law: str = "normal"
    part_worths: Mapping[str, Mapping[float | str, float]] = field(default_factory=dict)
    _split: Mapping[str, float] = field(init=False, repr=False, compare=False)
    _logit: Nests = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        numbers = {name: getattr(self, name) for name in _NUMBERS}
        numbers |= {} if self.rival_slope is None else {"rival_slope": self.rival_slope}
        numbers |= {f"constants[{a!r}]": v for a, v in (self.constants or {}).items()}
        for x, worths in self.part_worths.items():
            numbers |= {f"part_worths[{x!r}][{level!r}]": v for level, v in worths.items()}
        for name, value in numbers.items():
            if not (isinstance(value, Real) and math.isfinite(value)):
                raise UsageError(f"{name}={value} is no number: give a finite one")
        if abs(self.order_effect) > _LARGEST_EXPONENT:
            raise UsageError(f"order_effect={self.order_effect} is beyond numbers: give log-odds")
        if not 0 <= self.outside <= 1:
            raise UsageError(f"outside={self.outside} is no share: give a number from 0 to 1")
        for name in ("persona_sd", "persona_slope_sd", "persona_constant_sd"):
            if numbers[name] < 0:
                raise UsageError(f"{name}={numbers[name]} is no standard deviation: give 0 or more")
        if not self.round_to > 0:
            raise UsageError(
                f"round_to={self.round_to}: give a positive step in the study's unit, such as 5"
            )
        if self.persona_slope_law not in LAWS:
            raise UsageError(
                f"persona_slope_law={self.persona_slope_law!r}"
                f"{nearest(self.persona_slope_law, LAWS)}: use {' or '.join(LAWS)}"
            )
        if self.persona_slope_law == "lognormal" and not self.slope:
            raise UsageError("persona_slope_law='lognormal' has no slope of 0: give another slope")
        self._check_constants()
        object.__setattr__(self, "_split", _split(self.menu, self.focal, self.outside))
        object.__setattr__(self, "_logit", self.nests or Nests.of(self.menu.ids))

    def _check_constants(self) -> None:
        market = self.constants is not None or self.nests is not None or self.persona_constant_sd
        if self.rival_slope is not None and (market or self.part_worths):
            raise UsageError(
                "rival_slope moves the focal share alone; with constants, nests, part_worths or "
                "persona_constant_sd every price is in its alternative's utility: leave it out"
            )
        if self.constants is None:
            return
        if self.persona_sd:
            raise UsageError(
                "persona_sd spreads the indifference price, which constants replace: give "
                "persona_constant_sd"
            )
        inside = [a.id for a in self.menu.inside]
        wrong = [a for a in self.constants if a not in self.menu.ids]
        if wrong or not set(inside) <= set(self.constants):
            hint = nearest(wrong[0], self.menu.ids) if wrong else ""
            raise UsageError(
                f"constants are of {', '.join(self.constants) or 'nothing'}{hint}: give one for "
                f"each of {', '.join(inside)}, and for outside options where it is not 0"
            )

    def parameters(self, persona: str | None = None) -> tuple[float, float]:
        """Slope and indifference price of one persona; of the average one by default."""
        slope, indifference = self.slope, self.indifference
        if persona is not None and self.persona_sd:
            indifference += self.persona_sd * _normal(self.persona_seed, "indifference", persona)
        if persona is not None and self.persona_slope_sd:
            drawn = _normal(self.persona_seed, "slope", persona)
            if self.persona_slope_law == "normal":
                slope += self.persona_slope_sd * drawn
            else:
                variance = math.log1p((self.persona_slope_sd / slope) ** 2)
                slope *= math.exp(math.sqrt(variance) * drawn - variance / 2)
        return slope, indifference

    def probability(
        self, price: float, *, order: Sequence[str] | None = None, persona: str | None = None
    ) -> float:
        """The focal share at a price, rivals at their usual ones."""
        return self.law({**self.usual, self.focal: price}, order=order, persona=persona)[0]

    def shares(
        self,
        prices: Mapping[str, float],
        *,
        order: Sequence[str] | None = None,
        persona: str | None = None,
        attributes: Levels | None = None,
    ) -> dict[str, float]:
        """The share of every alternative, in menu order; sum 1."""
        share, split = self.law(prices, order=order, persona=persona, attributes=attributes)
        found = {self.focal: share, **{a: (1 - share) * s for a, s in split.items()}}
        return {a: found[a] for a in self.menu.ids}

    def law(
        self,
        prices: Mapping[str, float],
        *,
        order: Sequence[str] | None = None,
        persona: str | None = None,
        attributes: Levels | None = None,
    ) -> tuple[float, Mapping[str, float]]:
        """The focal share, and how the others divide what is left (summing to one).

        Without an order effect where no order is given. `attributes` are levels by attribute,
        then alternative, as a cell has them.
        """
        utilities = self._compared(prices, persona, attributes)
        if utilities is not None:
            return self._market(utilities, order)
        price = prices[self.focal]
        slope, indifference = self.parameters(persona)
        odds = slope * (price - indifference) + (self.rival_slope or 0.0) * self._dearer(prices)
        if self.round_price_uptick and self._is_round(price):
            odds += self.round_price_uptick
        split = self._split
        if self.order_effect and order:
            first = order[0]
            if first == self.focal:
                odds += self.order_effect
            else:
                raised = {**split, first: split[first] * math.exp(self.order_effect)}
                whole = sum(raised.values())
                odds -= math.log(whole)
                split = {a: weight / whole for a, weight in raised.items()}
        return 1 / (1 + math.exp(min(-odds, _LARGEST_EXPONENT))), split

    def responses(
        self, prices: Mapping[str, float], shares: Mapping[str, float], persona: str | None = None
    ) -> dict[str, dict[str, float]]:
        """``d log s_j / d p_k`` by alternative j, then priced alternative k, from the shares.

        Between jumps: round prices have no derivative.
        """
        slope, rivals = self.parameters(persona)[0], [a for a in self.usual if a in prices]
        by_utility = self._logit.responses(shares)
        found: dict[str, dict[str, float]] = {}
        for j, row in by_utility.items():
            found[j] = {self.focal: slope * row[self.focal]}
            for k in rivals:
                found[j][k] = (
                    slope * row[k]
                    if self.rival_slope is None
                    else self.rival_slope / len(rivals) * row[self.focal]
                )
        return found

    def _dearer(self, prices: Mapping[str, float]) -> float:
        """By how much the rivals' mean price exceeds its usual one."""
        rivals = [a for a in self.usual if a in prices]
        if self.rival_slope is None or not rivals:
            return 0.0
        usual = sum(self.usual[a] for a in rivals) / len(rivals)
        return sum(prices[a] for a in rivals) / len(rivals) - usual

    def _compared(
        self, prices: Mapping[str, float], persona: str | None, attributes: Levels | None
    ) -> dict[str, float] | None:
        """Utilities without an order effect; None where those of the others are at rest.

        There the law is a logit of the focal alternative against a fixed division, to the
        last digit the one of the published reconstruction.
        """
        slope, indifference = self.parameters(persona)
        dearer = {a: prices[a] - q for a, q in self.usual.items() if a in prices}
        moved = self.rival_slope is None and any(dearer.values())
        more = self.nests or self.persona_constant_sd or self.part_worths
        if self.constants is None and not (moved or more):
            return None
        price = prices[self.focal]
        if self.constants is not None:
            utilities = {
                a: self.constants.get(a, 0.0) + slope * prices.get(a, 0.0) for a in self.menu.ids
            }
        else:
            utilities = {
                a: math.log(c) + slope * dearer.get(a, 0.0) if c else -math.inf
                for a, c in self._split.items()
            }
            utilities[self.focal] = slope * (price - indifference)
        if self.round_price_uptick and self._is_round(price):
            utilities[self.focal] += self.round_price_uptick
        if self.part_worths:
            self._add_worths(utilities, attributes)
        if self.persona_constant_sd and persona is not None:
            for a in self.menu.inside:
                drawn = _normal(self.persona_seed, "constant", a.id, persona)
                utilities[a.id] += self.persona_constant_sd * drawn
        return utilities

    def _add_worths(self, utilities: dict[str, float], attributes: Levels | None) -> None:
        if attributes is None:
            raise UsageError(
                "shares of this consumer depend on the attributes of the alternatives, not on "
                "prices alone: ask at a cell of the study, as backend.truth(study.cells()[0])"
            )
        for x, worths in self.part_worths.items():
            for a, level in attributes.get(x, {}).items():
                utilities[a] += worths.get(level, 0.0)

    def _market(
        self, utilities: dict[str, float], order: Sequence[str] | None
    ) -> tuple[float, Mapping[str, float]]:
        if self.order_effect and order:
            utilities[order[0]] += self.order_effect
        shares = self._logit.log_shares(utilities)
        rest = {a: shares[a] for a in self._split}
        whole = log_sum(rest.values())
        return math.exp(shares[self.focal]), {a: math.exp(s - whole) for a, s in rest.items()}

    def _is_round(self, price: float) -> bool:
        steps = price / self.round_to
        return abs(steps - round(steps)) < _MULTIPLE


def uniform(*keys: object) -> float:
    """A number in (0, 1) that depends on its keys alone, on every machine.

    Unlike a further draw from a run's generator it leaves all other draws as they
    were, so that switching one option on changes nothing else of an answer.

    >>> uniform("refusal", 1) == uniform("refusal", 1) != uniform("refusal", 2)
    True
    """
    digest = hashlib.blake2b(":".join(map(str, keys)).encode(), digest_size=8).digest()
    return ((int.from_bytes(digest, "big") >> 11) + 0.5) / 2**53


@lru_cache(maxsize=1 << 16)
def _normal(*keys: object) -> float:
    from statistics import NormalDist

    return NormalDist().inv_cdf(uniform(*keys))


def _split(menu: Menu, focal: str, outside: float) -> dict[str, float]:
    """Shares of the probability that the focal alternative leaves, summing to one."""
    rivals = [a.id for a in menu.inside if a.id != focal]
    outsides = [a.id for a in menu if a.outside]
    if not rivals or not outsides:
        return {a: 1 / len(rivals + outsides) for a in rivals + outsides}
    return {
        **{a: (1 - outside) / len(rivals) for a in rivals},
        **{a: outside / len(outsides) for a in outsides},
    }
