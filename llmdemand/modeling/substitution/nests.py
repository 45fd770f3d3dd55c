"""Nests of alternatives: the tree of a nested logit, read from a mapping and checked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from llmdemand.errors import UsageError, nearest
from llmdemand.modeling.arrays import Array, Codes

__all__ = ["COMMON", "Dissimilarity", "Nests", "Tree", "tree_of", "within"]

COMMON = "dissimilarity"
_HOW = "nests={'diapers': ['pampers', 'huggies']}"

#: Alternatives by nest; a value may be a mapping itself, or a list that holds mappings.
Nests = Mapping[str, Any]
#: None or ``free``, ``common``, or some nests' values.
Dissimilarity = str | Mapping[str, Any] | None


@dataclass(frozen=True)
class Tree:
    """J alternatives in Q nests with F free dissimilarities.

    Attributes
    ----------
    alternatives : tuple of str
        In the order of their labels.
    names : tuple of str
        The nests, each after the one it lies in.
    parents : tuple of int
        The nest that each nest lies in; -1 for none.
    members : tuple of int
        The innermost nest of each alternative; -1 for none.
    slots : tuple of int
        Which of the free dissimilarities is that of each nest; -1 where it is fixed.
    fixed : tuple of float
        Its value where it is fixed.
    terms : tuple of str
        What the free dissimilarities are called.

    Examples
    --------
    >>> tree, notes = tree_of({"drinks": ["tea", "coffee"]}, ["neither", "coffee", "tea"])
    >>> str(tree), tree.terms, notes
    ('drinks (coffee, tea)', ('dissimilarity(drinks)',), ('alone under the root: neither',))
    >>> tree.dissimilarities(np.array([0.5])).tolist()
    [0.5, 1.0]
    """

    alternatives: tuple[str, ...]
    names: tuple[str, ...]
    parents: tuple[int, ...]
    members: tuple[int, ...]
    slots: tuple[int, ...]
    fixed: tuple[float, ...]
    terms: tuple[str, ...]

    @cached_property
    def loadings(self) -> Array:
        """Which free dissimilarity is that of each nest, (Q, F) of zeros and ones."""
        return np.equal.outer(self.slots, np.arange(len(self.terms))).astype(float)

    def dissimilarities(self, free: Any) -> Any:
        """Those of all nests from the free ones, (..., Q + 1); the last is the root's, 1."""
        values = np.asarray(free) @ self.loadings.T
        held = np.where(np.array(self.slots) < 0, self.fixed, 0.0)
        root = np.ones((*values.shape[:-1], 1))
        return np.concatenate([values + held, root], axis=-1)

    def above(self, nest: int) -> list[int]:
        """A nest and those it lies in, the outermost first; nothing for -1."""
        return [] if nest < 0 else [*self.above(self.parents[nest]), nest]

    @cached_property
    def paths(self) -> Codes:
        """What holds each alternative at each depth, (J, L): a nest, or itself, as Q + its label.

        It has at least one column.
        """
        chains = [self.above(m) for m in self.members]
        depth = max([1, *map(len, chains)])
        own = [[*c, *[len(self.names) + j] * (depth - len(c))] for j, c in enumerate(chains)]
        return np.array(own, np.intp)

    @cached_property
    def rank(self) -> Codes:
        """Place of each alternative where those of a nest stand side by side, (J,)."""
        return np.argsort(np.lexsort(self.paths.T[::-1]))

    def inside(self, nest: int) -> frozenset[str]:
        """All alternatives in a nest."""
        return frozenset(
            a for a, m in zip(self.alternatives, self.members, strict=True) if nest in self.above(m)
        )

    def inconsistent(self, free: Array) -> list[str]:
        """What of the dissimilarities is above 1 or above that of the nest outside, in words."""
        values, found = self.dissimilarities(free), []
        for q, (name, parent) in enumerate(zip(self.names, self.parents, strict=True)):
            if values[q] > values[parent]:
                bound = "1" if parent < 0 else f"that of {self.names[parent]!r}"
                found.append(f"{name!r} {values[q]:.4g} > {bound}")
        return found

    def __str__(self) -> str:
        def told(nest: int) -> str:
            inner = [told(q) for q, p in enumerate(self.parents) if p == nest]
            own = [a for a, m in zip(self.alternatives, self.members, strict=True) if m == nest]
            return f"{self.names[nest]} ({', '.join([*inner, *own])})"

        return ", ".join(told(q) for q, p in enumerate(self.parents) if p < 0)


def tree_of(
    nests: Nests, alternatives: Sequence[str], dissimilarity: Dissimilarity = None
) -> tuple[Tree, tuple[str, ...]]:
    """The tree that a mapping draws, and what to say of it.

    Parameters
    ----------
    nests : mapping
        Alternatives by nest: lists, or mappings of nests within the nest, or lists that hold
        both. Alternatives that are named nowhere are alone under the root.
    alternatives : sequence of str
        All of them.
    dissimilarity : str or mapping, optional
        ``free`` (one for each nest), ``common`` (one for all), or values of some nests, the
        others free. A nest of one alternative has none that the data could tell: by default it
        is 1, which changes nothing.

    Raises
    ------
    UsageError
        For what is no such mapping; a nest that is empty, that is named twice, that holds every
        alternative or nothing but another nest; an alternative that is unknown or in two nests;
        a dissimilarity of an unknown nest, one that is not positive, or one asked of a nest of
        one alternative.
    """
    if not isinstance(nests, Mapping) or not nests:
        raise UsageError(f"nests={nests!r}: give alternatives by nest, as in {_HOW}")
    names: list[str] = []
    parents: list[int] = []
    home: dict[str, int] = {}
    for name, parent, member in _read(nests, -1, names, parents):
        if member not in alternatives:
            raise UsageError(
                f"nests: {member!r} in {name!r} is no alternative"
                f"{nearest(member, list(alternatives))}: they are {', '.join(alternatives)}"
            )
        if member in home:
            raise UsageError(
                f"nests: {member!r} is in {names[home[member]]!r} and in {name!r}: an alternative "
                "has one nest"
            )
        home[member] = parent
    tree = Tree(
        tuple(alternatives),
        tuple(names),
        tuple(parents),
        tuple(home.get(a, -1) for a in alternatives),
        (-1,) * len(names),
        (1.0,) * len(names),
        (),
    )
    _check_shape(tree)
    tree, notes = _with_dissimilarities(tree, dissimilarity)
    alone = [a for a in alternatives if a not in home]
    return tree, (*([f"alone under the root: {', '.join(alone)}"] if alone else []), *notes)


def _read(
    nests: Nests, outer: int, names: list[str], parents: list[int]
) -> Iterator[tuple[str, int, str]]:
    """Alternatives with their innermost nest; nests are entered on the way."""
    for key, inside in nests.items():
        name = str(key)
        if name in names:
            raise UsageError(f"nests: two nests are called {name!r}: give each its own name")
        place = len(names)
        names.append(name)
        parents.append(outer)
        if isinstance(inside, str) or not isinstance(inside, Sequence | Mapping | np.ndarray):
            raise UsageError(
                f"nests: {name!r} is {inside!r}: give a list of its alternatives, as in {_HOW}"
            )
        if not len(inside):
            raise UsageError(f"nests: {name!r} is empty: name its alternatives, or leave it out")
        for item in [inside] if isinstance(inside, Mapping) else inside:
            if isinstance(item, Mapping):
                yield from _read(item, place, names, parents)
            else:
                yield name, place, str(item)


def _check_shape(tree: Tree) -> None:
    for q, name in enumerate(tree.names):
        inside = tree.inside(q)
        if len(inside) == len(tree.alternatives):
            raise UsageError(
                f"nests: {name!r} holds every alternative, so that its dissimilarity cannot be "
                "told from the scale of the coefficients: leave it out"
            )
        for inner, parent in enumerate(tree.parents):
            if parent == q and tree.inside(inner) == inside:
                raise UsageError(
                    f"nests: {name!r} holds nothing but {tree.names[inner]!r}: leave one of them "
                    "out"
                )


def _with_dissimilarities(tree: Tree, asked: Dissimilarity) -> tuple[Tree, tuple[str, ...]]:
    if asked is not None and not isinstance(asked, Mapping) and asked not in ("free", "common"):
        raise UsageError(
            f"dissimilarity={asked!r}: give 'free' (one for each nest), 'common' (one for all), or "
            f"values of some nests, as in dissimilarity={{{tree.names[0]!r}: 0.5}}"
        )
    values = dict(asked) if isinstance(asked, Mapping) else {}
    for name, value in values.items():
        if name not in tree.names:
            raise UsageError(
                f"dissimilarity: no nest {name!r}{nearest(str(name), list(tree.names))}: they are "
                f"{', '.join(tree.names)}"
            )
        number = isinstance(value, int | float | np.number) and not isinstance(value, bool)
        if value != "free" and not (number and np.isfinite(value) and value > 0):
            raise UsageError(
                f"dissimilarity of {name!r}: {value!r} is no positive number; give one such as "
                "0.5, or 'free'"
            )
    single = [n for q, n in enumerate(tree.names) if len(tree.inside(q)) == 1]
    for name in single:
        if isinstance(asked, str) or values.get(name) == "free":
            raise UsageError(
                f"nest {name!r} has one alternative, so that it has no dissimilarity to estimate: "
                "leave the nest out (the alternative is then alone under the root)"
            )
    notes = []
    at_one = [n for n in single if n not in values]
    if at_one:
        notes.append(
            f"a nest of one alternative ({', '.join(at_one)}) has no dissimilarity that data could "
            "tell: it is fixed at 1, which changes nothing"
        )
    held = {n: float(v) for n, v in values.items() if v != "free"} | dict.fromkeys(at_one, 1.0)
    free = [n for n in tree.names if n not in held]
    if told := [f"{COMMON}({n}) = {held[n]:g}" for n in tree.names if n in values and n in held]:
        notes.append(f"held fixed: {', '.join(told)}")
    terms = [COMMON] if asked == "common" else [f"{COMMON}({n})" for n in free]
    slots = [-1 if n in held else 0 if asked == "common" else free.index(n) for n in tree.names]
    fixed = [held.get(n, 1.0) for n in tree.names]
    made = replace(tree, slots=tuple(slots), fixed=tuple(fixed), terms=tuple(terms))
    return made, tuple(notes)


def within(small: Tree | None, large: Tree) -> str | None:
    """What makes the larger tree's model the smaller one's, in words; None where nothing does.

    Parameters
    ----------
    small : Tree or None
        The restricted model; None for a plain logit.
    large : Tree
        The full one. A nest that the smaller tree has not is one with the dissimilarity of the
        nest it lies in.

    Examples
    --------
    >>> nests = {"a": ["x", "y"], "b": ["z", "w"]}
    >>> tree = tree_of(nests, "xyzw")[0]
    >>> within(None, tree), within(tree_of(nests, "xyzw", "common")[0], tree)
    ('dissimilarity(a) = 1, dissimilarity(b) = 1', 'dissimilarity(a) = dissimilarity(b)')
    """
    there = {} if small is None else {n: q for q, n in enumerate(small.names)}
    if small is not None and any(
        n not in large.names or small.inside(q) != large.inside(large.names.index(n))
        for n, q in there.items()
    ):
        return None
    # The smaller model's value of each nest: a number, or the name of a free one.
    values: list[float | str] = []
    for name, parent in zip(large.names, large.parents, strict=True):
        if small is not None and name in there:
            q = there[name]
            slot = small.slots[q]
            values.append(small.fixed[q] if slot < 0 else small.terms[slot])
        else:
            values.append(1.0 if parent < 0 else values[parent])
    told: list[str] = []
    first: dict[float | str, str] = {}
    for slot in range(-1, len(large.terms)):
        mine = [q for q, s in enumerate(large.slots) if s == slot and len(large.inside(q)) > 1]
        if slot < 0:
            if any(values[q] != large.fixed[q] for q in mine):
                return None
            continue
        if len({values[q] for q in mine}) > 1:
            return None
        value, term = values[mine[0]], large.terms[slot]
        if isinstance(value, float):
            told.append(f"{term} = {value:g}")
        elif value in first:
            told.append(f"{first[value]} = {term}")
        else:
            first[value] = term
    return ", ".join(told)
