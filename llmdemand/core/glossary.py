"""The words of the results, and what they mean."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache

from llmdemand import errors
from llmdemand.core.panel import STATUSES
from llmdemand.core.resources import data_file
from llmdemand.errors import UsageError, nearest

__all__ = ["Term", "explain", "terms"]


@dataclass(frozen=True)
class Term:
    """One word: what it means, how it is computed, and where more is said.

    Attributes
    ----------
    name : str
        The word as results print it.
    text : str
        What it means.
    formula : str
        How it is computed; empty where it is not a number.
    where : str
        The page of the documentation; the field's name for it, where that is another.
    also : tuple of str
        Other words for it.
    """

    name: str
    text: str
    formula: str = ""
    where: str = ""
    also: tuple[str, ...] = ()

    def __str__(self) -> str:
        """The entry as it is printed."""
        names = ", ".join((self.name, *self.also))
        formula = [f"    {self.formula}"] if self.formula else []
        more = [f"More: {self.where}"] if self.where else []
        return "\n".join([names, self.text, *formula, *more])


@cache
def terms() -> dict[str, Term]:
    """All words by name, in alphabetical order, statuses of runs and errors among them.

    >>> "model belief" in terms(), "no_pivot" in terms(), "DesignError" in terms()
    (True, True, True)
    """
    entries = tomllib.loads(data_file("glossary.toml").read_text("utf-8"))
    remedies, todo = entries.pop("status"), entries.pop("error")
    made = [Term(name, **{**e, "also": tuple(e.get("also", ()))}) for name, e in entries.items()]
    made += [
        Term(
            status,
            f"Status of a run: {meaning}. {remedies[status]}".strip(),
            where="docs/belief.md",
        )
        for status, meaning in STATUSES.items()
    ]
    raised = {name: getattr(errors, name) for name in errors.__all__}
    made += [
        Term(name, f"{(kind.__doc__ or '').splitlines()[0]} {todo.get(name, '')}".strip())
        for name, kind in raised.items()
        if isinstance(kind, type)
    ]
    return {term.name: term for term in sorted(made, key=lambda term: term.name.lower())}


def explain(word: str) -> Term:
    """What a word of the results means.

    Parameters
    ----------
    word : str
        As it is printed, in any case; other names of it are known too.

    Returns
    -------
    Term

    Raises
    ------
    UsageError
        If it is not known; the nearest that is are named.

    Examples
    --------
    >>> print(explain("rho").formula)
    rho = corr(y, belief) within cells
    """
    known = {name.lower(): term for term in terms().values() for name in (term.name, *term.also)}
    found = known.get(" ".join(word.lower().replace("_", " ").split())) or known.get(word.lower())
    if found is None:
        raise UsageError(
            f"{word!r} is not in the glossary{nearest(word.lower(), list(known))}: "
            "`llmdemand explain` lists what is"
        )
    return found
