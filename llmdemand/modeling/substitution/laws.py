"""Laws of random coefficients: from parameters and draws to tastes, and their derivatives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from llmdemand.errors import UsageError, nearest
from llmdemand.modeling.arrays import Array, Codes
from llmdemand.modeling.likelihood.kernels import Numbers

__all__ = ["Law", "LawName", "Pairs", "Space", "law_of"]

LawName = Literal[
    "normal",
    "lognormal+",
    "lognormal-",
    "triangular",
    "uniform",
    "zero-normal",
    "zero-triangular",
    "zero-uniform",
]
Space = Literal["preference", "wtp"]

#: Sign of the exponential of a lognormal coefficient.
_SIGN = {"lognormal+": 1.0, "lognormal-": -1.0}
_NORMAL = ("normal", "lognormal+", "lognormal-", "zero-normal")


@dataclass(frozen=True)
class Law:
    """The joint law of the coefficients of K terms.

    Coefficient k is ``beta_k = h_k(eta_k)``, with ``eta_k`` linear in the parameters:
    ``eta_k = mean_k + spread_k z_k``, or ``mean_k + sum_l L_kl z_l`` with L the Cholesky factor
    of correlated normal coefficients; h is the identity, ``exp`` (``lognormal+``) or ``-exp``
    (``lognormal-``), and z is standard normal, or triangular or uniform on (-1, 1).
    ``zero-normal`` has mean zero (an error component); ``zero-triangular`` and
    ``zero-uniform`` run from zero to twice the mean, so that all have its sign. In
    willingness-to-pay space ``beta_k = -beta_price eta_k`` for every other term (Train & Weeks
    2005): its parameters are those of the willingness to pay.

    Attributes
    ----------
    terms : tuple of str
        Names of the K terms.
    laws : tuple of str
        ``fixed`` or a `LawName`, by term.
    names : tuple of str
        Names of the P parameters.
    place : (P,) int array
        Term of each parameter.
    loads : (P, 1 + Q) array
        What each parameter is multiplied with: 1 and the Q standard draws.
    spreads : (P,) bool array
        Parameters whose sign means nothing: those of z alone.
    money : int or None
        The price term of willingness-to-pay space; None in preference space.
    """

    terms: tuple[str, ...]
    laws: tuple[str, ...]
    names: tuple[str, ...]
    place: Codes
    loads: Array
    spreads: NDArray[np.bool_]
    money: int | None = None

    @property
    def size(self) -> int:
        """P, the number of parameters."""
        return len(self.names)

    @cached_property
    def random(self) -> tuple[int, ...]:
        """The terms whose coefficients vary, in order: one standard draw each."""
        return tuple(k for k, law in enumerate(self.laws) if law != "fixed")

    def oriented(self, params: Array) -> Array:
        """The same law with spreads that are not negative.

        A spread and its mirror image are one law, for z has no sign. Where correlated
        coefficients share a draw all of its loads, a column of the Cholesky factor, turn over.

        >>> law = law_of(["a", "b"], {"a": "normal", "b": "normal"}, {}, correlated=True)
        >>> law.names
        ('a', 'b', 'chol(a, a)', 'chol(b, a)', 'chol(b, b)')
        >>> law.oriented(np.array([1.0, 1.0, -2.0, 0.5, 3.0])).tolist()
        [1.0, 1.0, 2.0, -0.5, 3.0]
        """
        turned = self.spreads & (params < 0)
        columns = self.loads[turned, 1:].any(axis=0)
        mirrored = self.loads[:, 1:][:, columns].any(axis=1)
        return np.where(mirrored, -params, params)

    def standard(self, uniform: Array, out: Array | None = None) -> Array:
        """Standard draws from points of the unit cube, (..., Q); into `out`, if given."""
        from scipy.special import ndtri

        found = np.empty_like(uniform) if out is None else out
        for q, k in enumerate(self.random):
            u = uniform[..., q]
            if self.laws[k] in _NORMAL:
                ndtri(u, out=found[..., q])
            elif self.laws[k].endswith("uniform"):
                found[..., q] = 2 * u - 1
            else:
                low = u < 0.5
                found[..., q] = np.where(low, np.sqrt(2 * u) - 1, 1 - np.sqrt(2 * (1 - u)))
        return found

    def features(self, standard: Array) -> Array:
        """One and the standard draws, (..., 1 + Q, S) from (..., S, Q)."""
        first = np.ones((*standard.shape[:-1], 1))
        both = np.concatenate([first, standard], axis=-1)
        return np.ascontiguousarray(np.swapaxes(both, -1, -2))

    def index(self, params: Numbers, features: Array) -> Numbers:
        """``eta``, (..., K, S)."""
        mean, loads = self.linear_in(params)
        return np.asarray(np.column_stack([mean, loads]) @ features)

    def linear_in(self, params: Numbers) -> tuple[Numbers, Numbers]:
        """Means of ``eta``, (K,), and its loads on the standard draws, (K, Q)."""
        weights = np.zeros((len(self.terms), self.loads.shape[1]), params.dtype)
        np.add.at(weights, self.place, params[:, None] * self.loads)
        return weights[:, 0], weights[:, 1:]

    def tastes(self, eta: Numbers) -> Numbers:
        """``beta``, (..., K, S)."""
        found = eta
        if any(law in _SIGN for law in self.laws):
            found = eta.copy()
            for k, law in enumerate(self.laws):
                if law in _SIGN:
                    found[..., k, :] = _SIGN[law] * np.exp(eta[..., k, :])
        if self.money is None:
            return found
        scale = -found[..., self.money, :]
        found = np.asarray(found * scale[..., None, :])
        found[..., self.money, :] = -scale
        return found

    def values(self, eta: Array) -> Array:
        """What the parameters are of: ``beta``, or the willingness to pay and ``beta_price``."""
        return eta if self.linear else self._own(eta)[0]

    @cached_property
    def linear(self) -> bool:
        """Whether tastes are ``eta`` itself."""
        return self.money is None and not any(law in _SIGN for law in self.laws)

    def back(self, eta: Array, beta: Array, by: Array) -> Array:
        """Derivatives by ``eta`` from those by ``beta``, (..., K, S)."""
        if self.linear:
            return by
        own, first, _ = self._own(eta)
        if self.money is None:
            return np.asarray(first * by)
        p = self.money
        found = -beta[..., p : p + 1, :] * first * by
        rest = (by * own).sum(axis=-2) - by[..., p, :] * own[..., p, :]
        found[..., p, :] = first[..., p, :] * (by[..., p, :] - rest)
        return np.asarray(found)

    def back_twice(self, eta: Array, beta: Array, twice: Array, by: Array, pairs: Pairs) -> Array:
        """Second derivatives by ``eta``, (..., pairs, S), from those by ``beta`` and the first."""
        if self.linear:
            return twice
        left, right, same = pairs.left, pairs.right, pairs.same
        own, first, second = self._own(eta)
        if self.money is None:
            found = twice * first[..., left, :] * first[..., right, :]
            found[..., same, :] += second * by
            return np.asarray(found)
        # beta_k = -h(eta_p) h_k(eta_k): besides its diagonal the Jacobian has column p.
        p, scale = self.money, -beta[..., self.money, :]
        diagonal = scale[..., None, :] * first
        diagonal[..., p, :] = first[..., p, :]
        column = -first[..., p : p + 1, :] * own
        column[..., p, :] = first[..., p, :]
        full = twice[..., pairs.table, :]
        rows = diagonal[..., :, None, :] * full
        rows[..., p, :, :] = np.einsum("...ks,...kls->...ls", column, full)
        both = diagonal[..., None, :, :] * rows
        both[..., :, p, :] = np.einsum("...kls,...ls->...ks", rows, column)
        others = [k for k in range(len(self.terms)) if k != p]
        for k in others:
            both[..., k, k, :] += scale * second[..., k, :] * by[..., k, :]
            cross = -first[..., p, :] * first[..., k, :] * by[..., k, :]
            both[..., k, p, :] += cross
            both[..., p, k, :] += cross
        rest = (by * own)[..., others, :].sum(axis=-2)
        both[..., p, p, :] += second[..., p, :] * (by[..., p, :] - rest)
        return np.asarray(both[..., left, right, :])

    def _own(self, eta: Array) -> tuple[Array, Array, Array]:
        """Values of h, and its first and second derivatives, term by term."""
        own, first, second = eta.copy(), np.ones_like(eta), np.zeros_like(eta)
        for k, law in enumerate(self.laws):
            if law in _SIGN:
                grown = _SIGN[law] * np.exp(eta[..., k, :])
                own[..., k, :] = first[..., k, :] = second[..., k, :] = grown
        return own, first, second

    def gathered(self, moments: Array) -> Array:
        """From derivatives by ``eta`` times features (..., K, 1 + Q) to parameters (..., P)."""
        return np.asarray((moments[..., self.place, :] * self.loads).sum(axis=-1))

    def gathered_twice(self, moments: Array, pairs: Pairs, crossed: Pairs) -> Array:
        """The same of second derivatives: (pairs, crossed features) to (P, P)."""
        full = moments[pairs.table][:, :, crossed.table]  # (K, K, 1 + Q, 1 + Q)
        own = full[self.place][:, self.place]  # (P, P, 1 + Q, 1 + Q)
        return np.asarray(np.einsum("pqab,pa,qb->pq", own, self.loads, self.loads))


@dataclass(frozen=True)
class Pairs:
    """The pairs (a, b), a <= b, of so many things: entries of a symmetric matrix.

    >>> pairs = Pairs.of(2)
    >>> pairs.left.tolist(), pairs.right.tolist(), pairs.table.tolist()
    ([0, 0, 1], [0, 1, 1], [[0, 1], [1, 2]])
    """

    left: Codes
    right: Codes
    same: Codes
    table: Codes

    @classmethod
    def of(cls, size: int) -> Pairs:
        """The pairs of `size` things."""
        left, right = np.triu_indices(size)
        table = np.zeros((size, size), np.intp)
        table[left, right] = table[right, left] = np.arange(len(left))
        return cls(left, right, np.flatnonzero(left == right), table)


def law_of(
    terms: Sequence[str],
    random: Mapping[str, str],
    variables: Mapping[str, Sequence[str]],
    *,
    correlated: bool | Sequence[str] = False,
    space: Space = "preference",
    price: str = "price",
) -> Law:
    """The law that is asked for.

    Parameters
    ----------
    terms : sequence of str
        The K terms of the design.
    random : mapping of str to str
        Laws by term, or by variable: then of all its terms.
    variables : mapping of str to sequence of str
        Terms that each variable is in.
    correlated : bool or sequence of str
        Whether the normal and lognormal coefficients are correlated, or which are.
    space : str
        ``preference`` or ``wtp``.
    price : str
        The price term of willingness-to-pay space.

    Raises
    ------
    UsageError
        For unknown terms, laws and combinations.
    """
    laws = dict.fromkeys(terms, "fixed")
    if not random:
        raise UsageError(
            "random={}: name the coefficients that vary, as in random={'price': 'normal'}; "
            "clogit has none"
        )
    for name, law in random.items():
        if law not in get_args(LawName):
            hint = nearest(str(law), get_args(LawName))
            more = "; name the sign: 'lognormal-' for a price" if law == "lognormal" else ""
            raise UsageError(
                f"random[{name!r}] is {law!r}{hint}: use {', '.join(get_args(LawName))}{more}"
            )
        found = [name] if name in laws else list(variables.get(name, ()))
        if not found:
            known = (*terms, *variables)
            raise UsageError(
                f"random: no term or variable {name!r}{nearest(name, known)}: the model has "
                f"{', '.join(terms)}"
            )
        for term in found:
            if laws[term] != "fixed":
                raise UsageError(f"random: {term!r} is named twice, by itself and by its variable")
            laws[term] = law
    together = _together(laws, random, variables, correlated)
    money: int | None = None
    if space == "wtp":
        if price not in laws:
            raise UsageError(
                f"space='wtp' divides by the coefficient of {price!r}, which is no term"
                f"{nearest(price, tuple(terms))}: name it with price=...; the model has "
                f"{', '.join(terms)}"
            )
        if laws[price] not in ("fixed", "lognormal-"):
            raise UsageError(
                f"space='wtp' needs a price coefficient of one sign: {price!r} is {laws[price]}, "
                "use 'lognormal-' or leave it fixed"
            )
        if any(law in _SIGN for t, law in laws.items() if t != price and law == "lognormal-"):
            raise UsageError("space='wtp': a willingness to pay is 'lognormal+' or another law")
        money = list(terms).index(price)
    return _laid_out(tuple(terms), tuple(laws.values()), together, money)


def _together(
    laws: Mapping[str, str],
    random: Mapping[str, str],
    variables: Mapping[str, Sequence[str]],
    correlated: bool | Sequence[str],
) -> tuple[str, ...]:
    """The terms whose draws are correlated."""
    normal = [t for t, law in laws.items() if law in _NORMAL and law != "zero-normal"]
    if correlated is False or correlated is None:
        return ()
    if correlated is True:
        chosen = normal
    else:
        names = [correlated] if isinstance(correlated, str) else list(correlated)
        chosen = []
        for name in names:
            some = [name] if name in laws else list(variables.get(name, ()))
            bad = [t for t in some if t not in normal]
            if bad or not some:
                raise UsageError(
                    f"correlated: {name!r} is no normal or lognormal coefficient: those are "
                    f"{', '.join(normal) or 'none'}"
                )
            chosen += some
    if len(chosen) < 2:
        raise UsageError(
            f"correlated tastes need two normal or lognormal coefficients, found "
            f"{', '.join(chosen) or 'none'}: leave correlated out"
        )
    return tuple(t for t in laws if t in chosen)


def _laid_out(
    terms: tuple[str, ...], laws: tuple[str, ...], together: tuple[str, ...], money: int | None
) -> Law:
    draw = {k: q for q, k in enumerate(k for k, law in enumerate(laws) if law != "fixed")}
    names: list[str] = []
    place: list[int] = []
    loads: list[Array] = []
    spreads: list[bool] = []

    def add(name: str, k: int, *on: int, spread: bool = False) -> None:
        row = np.zeros(1 + len(draw))
        row[list(on)] = 1.0
        names.append(name)
        place.append(k)
        loads.append(row)
        spreads.append(spread)

    for k, (term, law) in enumerate(zip(terms, laws, strict=True)):
        called = _called(term, law)
        if law in ("zero-triangular", "zero-uniform"):
            add(called, k, 0, 1 + draw[k])
        elif law != "zero-normal":
            add(called if called == term else f"mean({called})", k, 0)
    for k, (term, law) in enumerate(zip(terms, laws, strict=True)):
        if law in _NORMAL and term not in together:
            add(f"sd({_called(term, law)})", k, 1 + draw[k], spread=True)
        elif law in ("triangular", "uniform"):
            add(f"spread({term})", k, 1 + draw[k], spread=True)
    places = [terms.index(t) for t in together]
    for row, k in enumerate(places):
        for other in places[: row + 1]:
            one, two = (_called(terms[i], laws[i]) for i in (k, other))
            add(f"chol({one}, {two})", k, 1 + draw[other], spread=k == other)
    return Law(
        terms,
        laws,
        tuple(names),
        np.array(place, np.intp),
        np.array(loads, np.float64),
        np.array(spreads, bool),
        money,
    )


def _called(term: str, law: str) -> str:
    """A coefficient whose law is of its logarithm is named so: its mean is no mean of it."""
    return {"lognormal+": f"ln {term}", "lognormal-": f"ln -{term}"}.get(law, term)
