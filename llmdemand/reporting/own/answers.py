"""What a fit says of shares, elasticities, worth and best prices, as far as it can say it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from llmdemand.errors import DesignError, UsageError
from llmdemand.modeling.quantities.intervals import ready
from llmdemand.modeling.quantities.prices import price_column, price_name, priced
from llmdemand.modeling.quantities.quantity import Quantity
from llmdemand.modeling.sample.designs import ChoiceDesign

if TYPE_CHECKING:
    from llmdemand.modeling.models.results import LogitResults

__all__ = ["Answers", "answers"]


@dataclass(frozen=True)
class Answers:
    """The quantities of a report.

    Attributes
    ----------
    quantities : dict of str to Quantity
        ``shares``, ``elasticity``, ``willingness_to_pay``, ``indifference_price`` (of a binary
        logit), ``optimal_price``: those there are.
    lacking : tuple of str
        What there is not, and why.
    own : tuple of str
        The alternatives that have a price.
    """

    quantities: dict[str, Quantity]
    lacking: tuple[str, ...]
    own: tuple[str, ...]

    @property
    def beyond(self) -> tuple[str, ...]:
        """Where a best price lies beyond the prices that were seen."""
        found = self.quantities.get("optimal_price")
        notes = () if found is None else found.notes
        return tuple(f"best price of {n}" for n in notes if "outside the observed" in n)


def answers(
    fit: LogitResults,
    *,
    price: str = "price",
    unit: str | None = None,
    cost: float | None = None,
    focal: str | None = None,
) -> Answers:
    """Ask a fit what a report says.

    Parameters
    ----------
    fit : LogitResults
        A logit of any kind, fitted with a formula.
    price : str
        What the price column is called.
    unit : str, optional
        Of prices, in place of "units of price".
    cost : float, optional
        Unit cost, for the price of the highest profit of each alternative, rivals' prices as in
        the sample.
    focal : str, optional
        The alternative that is the reader's own; all of them without.

    Raises
    ------
    DesignError
        For a fit without a price, and for one that is separated or made from arrays.
    UsageError
        For an alternative without a price.
    """
    design, sample = ready(fit, "a demand report")
    named = price_name(design, price)
    own = priced(design, sample, named)
    if focal is not None and focal not in own:
        raise UsageError(f"{focal!r} has no price of its own: there are {', '.join(own)}")
    asked = own if focal is None else [focal]
    kind = "own" if design.outside else "matrix"
    found: dict[str, Quantity] = {}
    lacking: list[str] = []

    def ask(what: str, parts: Iterable[tuple[str, str, Callable[[], Quantity]]]) -> None:
        made = []
        for key, value, answer in parts:
            try:
                made.append((key, value, answer()))
            except (DesignError, UsageError) as error:
                of = f" of {value}" if value else ""
                lacking.append(f"no {what.replace('_', ' ')}{of}: {error}")
        if made:
            found[what] = _together(made)

    ask("shares", [("", "", fit.shares)])
    # Of the mean share, which is what a market has; as the simulator of the page says it.
    of_share: dict[str, Any] = {"kind": kind, "price": price, "average": "share_weighted"}
    ask("elasticity", [("", "", lambda: fit.elasticity(**of_share))])
    ask(
        "willingness_to_pay",
        [
            ("", a, lambda a=a: fit.willingness_to_pay(a, price=price))  # type: ignore[misc]
            for a in _attributes(fit, price)
        ],
    )
    if design.outside:
        half = [("", "", lambda: fit.willingness_to_pay(price=price))]
        ask("indifference_price", half)
    if cost is not None:
        ask(
            "optimal_price",
            [
                (
                    "alternative",
                    a,
                    lambda a=a: fit.optimal_price(cost, alternative=a, price=price),  # type: ignore[misc]
                )
                for a in asked
            ],
        )
    if unit is not None:
        found = {
            k: replace(q, unit=q.unit.replace(f"units of {named}", unit)) for k, q in found.items()
        }
    return Answers(found, tuple(lacking), tuple(own))


def _attributes(fit: LogitResults, price: str) -> list[str]:
    """What has a worth in money: attributes of alternatives, those of text by their levels."""
    design, sample = ready(fit, "a demand report")
    named = price_name(design, price)
    prices = {price_column(design, a, named, sample)[0] for a in priced(design, sample, named)}
    terms = design.generic.terms if isinstance(design, ChoiceDesign) else design.terms
    if not isinstance(design, ChoiceDesign) and not design.outside:
        return []  # regressors of the case: what they are worth differs between alternatives
    found = []
    for variable in design.variables:
        of = [t for t in terms if variable in _words(t)]
        if variable in prices or not of:
            continue
        if sample[variable].dtype.kind in "fiub":
            found.append(variable)
        else:
            found += [t for t in of if _words(t) <= {variable, "C", "T"} | _levels(t)]
    return list(dict.fromkeys(found))


def _words(term: str) -> set[str]:
    """The names in a term."""
    import re

    return set(re.findall(r"\w+", term))


def _levels(term: str) -> set[str]:
    """What stands in the brackets of a term: names of levels."""
    return _words(term.partition("[")[2])


def _together(made: list[tuple[str, str, Quantity]]) -> Quantity:
    """Several answers of one kind as rows of one."""
    import pandas as pd

    first = made[0][2]
    if len(made) == 1 and not made[0][0]:
        return first
    parts, notes = [], []
    for key, value, quantity in made:
        table = quantity.table.copy()
        if key and key not in table.columns:
            table.insert(0, key, value)
        parts.append(table)
        notes += [f"{value}: {note}" for note in quantity.notes]
    name = first.name.replace(f" of {made[0][1]}", "").replace(f" for {made[0][1]}", "")
    rules = list(dict.fromkeys(q.rule for _, _, q in made))
    kinds = list(dict.fromkeys(q.ci for _, _, q in made))
    return replace(
        first,
        name=name,
        table=pd.concat(parts, ignore_index=True),
        rule="; or ".join(rules),
        ci="; or ".join(kinds),
        notes=tuple(notes),
        gradient=None,
    )
