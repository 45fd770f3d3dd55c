"""The cell: one point of a study's design."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["Cell"]


@dataclass(frozen=True, slots=True)
class Cell:
    """One design point: prices, attributes, persona, arm and, if crossed, order and wording.

    Attributes
    ----------
    index : int
        Position in the full factorial of the study, also where a fraction is run: a cell
        keeps its index, and its runs their ids, when the fraction changes.
    prices : mapping of str to float
        Price by alternative id, in the study's unit; outside options have none.
    persona : mapping of str to str
        Persona fields, ``id`` included; empty where the study has no personas.
    order : tuple of str or None
        The option order where the design crosses it, else None.
    variant : str or None
        Id of the prompt variant; None where the study has no variants.
    arm : str
        ``blind``, or ``unblinded``: the prompt says that prices were randomised.
    attributes : mapping of str to mapping
        Level by attribute, then alternative id; empty where alternatives have a price alone.
    task : str or None
        Name of the choice task in a conjoint design (``h1``, ``h2``, ... are holdouts), else None.
    """

    index: int
    prices: Mapping[str, float]
    persona: Mapping[str, str]
    order: tuple[str, ...] | None
    variant: str | None = None
    arm: str = "blind"
    attributes: Mapping[str, Mapping[str, float | str]] = field(default_factory=dict)
    task: str | None = None
