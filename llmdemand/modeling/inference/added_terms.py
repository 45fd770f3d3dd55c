"""Designs with terms added to their formulas, for the columns that a fit keeps."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from llmdemand.errors import DesignError, UsageError
from llmdemand.modeling.arrays import Array
from llmdemand.modeling.sample.designs import BinaryDesign, ChoiceDesign, Design, MultinomialDesign
from llmdemand.modeling.sample.formula import Part, looks_at_all_rows, part, variables
from llmdemand.modeling.sample.language import read

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Both", "with_terms"]


@dataclass(frozen=True)
class Both(Part):
    """A part with terms added, each made by its own record of levels and knots."""

    first: Part = field(default_factory=lambda: Part("0", (), None))
    more: Part = field(default_factory=lambda: Part("0", (), None))

    @classmethod
    def of(cls, first: Part, more: Part) -> Both:
        """A part and what is added to it."""
        added = tuple(t for t in more.terms if t != "const")
        return cls(f"{first.text} + {more.text}", (*first.terms, *added), None, first, more)

    @property
    def offset(self) -> bool:
        """Whether the first holds an offset."""
        return self.first.offset

    def made(self, frame: pd.DataFrame) -> tuple[Array, Array | None]:
        """Regressors of the first, then of the added without their constant; the offset."""
        keep = [k for k, t in enumerate(self.more.terms) if t != "const"]
        x, offset = self.first.made(frame)
        return np.hstack([x, self.more.matrix(frame)[:, keep]]), offset


def with_terms(design: Design, added: str, frame: pd.DataFrame) -> Design:
    """The design with terms added to its formula.

    Raises
    ------
    UsageError
        For terms that need columns or rows which the fit does not keep, and for too many
        parts.
    """
    texts = [t.strip() for t in added.split("|")]
    known = [str(c) for c in frame.columns]
    for text in texts:
        if read(text).offsets:
            raise UsageError(f"{text!r}: an offset has no coefficient that could be tested")
        if looks_at_all_rows(text):
            raise UsageError(f"{text!r} looks at all rows: give them with data=")
        try:
            variables(text, known)
        except DesignError as error:
            raise UsageError(
                f"{error}; a fit keeps only the columns that it reads: give the rows with data="
            ) from None
    parts = [part(text, frame) for text in texts]
    columns = tuple(
        dict.fromkeys([*design.variables, *(v for t in texts for v in variables(t, known))])
    )
    if isinstance(design, ChoiceDesign):
        if len(parts) > 3:
            raise UsageError(f"{added!r} has {len(parts)} parts divided by |, 3 are known")
        own = dict(zip(("generic", "case", "own"), parts, strict=False))
        grown: dict[str, Any] = {
            name: Both.of(getattr(design, name), more) for name, more in own.items()
        }
        return replace(design, variables=columns, **grown)
    if len(parts) > 1:
        raise UsageError(f"{added!r}: parts divided by | are for conditional logits")
    assert isinstance(design, BinaryDesign | MultinomialDesign)
    return replace(design, variables=columns, part=Both.of(design.part, parts[0]))
