"""Whether the LLM says of the humans what it says of its further respondents, as a distribution."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from llmdemand.calibration.samples.matching import Told
from llmdemand.core.line import OneLine
from llmdemand.modeling.arrays import Array, Codes

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["WARN", "SameLaw", "compare_laws", "permuted_p"]

#: p-value below which two sides are warned of.
WARN = 0.01
_MOST = 2000  # respondents of a side that are compared
_QUANTILES = (0.1, 0.25, 0.5, 0.75, 0.9)


@dataclass(frozen=True, repr=False)
class SameLaw(OneLine):
    """Beliefs of humans and pool, cell by cell.

    Attributes
    ----------
    table : pandas.DataFrame
        By cell: respondents and mean belief on both sides, the largest gap of the two
        distribution functions (Kolmogorov and Smirnov), and quantiles, ``humans_0.1`` to
        ``pool_0.9``.
    p : float
        p-value of equal laws in all cells together, by permutation of respondents.
    parts : mapping of str to float
        p-values of ``shift`` (the difference of means that moves the target), ``level`` (of mean
        ranks, all cells alike) and ``shape`` (Cramer and von Mises); `p` is that of the least.
    answers : int
        Answers per respondent and cell that were compared; 0 if nobody knows.
    """

    table: pd.DataFrame
    p: float
    parts: dict[str, float]
    answers: int

    @property
    def tested(self) -> bool:
        """Whether there was a test: weighted and stratified samples are not alike as they are."""
        return self.p == self.p

    @property
    def untested(self) -> SameLaw:
        """The table alone."""
        return SameLaw(self.table, float("nan"), {}, self.answers)

    @property
    def _line(self) -> str:
        if not self.tested:
            return "beliefs on both sides, not tested"
        return f"equal beliefs on both sides: p = {self.p:.3g}"

    @property
    def warning(self) -> str:
        """What a reader has to be told if `p` is small."""
        worst = int(np.argmax(self.table["largest_gap"].to_numpy()))
        cell, row = self.table.index[worst], self.table.iloc[worst]
        return (
            "the LLM's beliefs for the humans and for its further respondents differ in "
            f"distribution by more than chance (p = {self.p:.2g}; most in {cell}: mean "
            f"{row['mean_humans']:.3f} against {row['mean_pool']:.3f}): the two are hardly samples "
            "of one population, or were not asked alike, or belief knows the answers; the "
            "estimate leans on that they are; look at plot_beliefs()"
        )


def compare_laws(
    humans: Told,
    pool: Told,
    names: list[str],
    *,
    direction: Array | None = None,
    reps: int = 999,
    seed: int = 1,
) -> SameLaw:
    """Compare the distributions of belief by cell, respondents permuted as a whole.

    Parameters
    ----------
    humans, pool : Told
        What the LLM said as them, as often on either side.
    names : list of str
        Of the cells' rows.
    direction : array, optional
        By row of the cells, how much one belief of a human moves the target.
    reps : int
        Permutations.
    seed : int
        Of them; of sides with more than 2,000 respondents so many are drawn.

    Notes
    -----
    Labels are permuted among respondents who answered in the same cells, where there are such on
    both sides: the test is exact then. The p-value is of the least of three: one looks where the
    target would be biased, one (on ranks within cells) whether one side is higher everywhere, one
    at everything.

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> one = Told(np.arange(100), np.zeros(100, int), rng.random(100), 1)
    >>> other = Told(np.arange(300), np.zeros(300, int), rng.random(300) ** 2, 1)
    >>> compare_laws(one, other, ["price 35"], reps=199).p < 0.01
    True
    """
    rng = np.random.default_rng(seed)
    sides = [_thinned(t, rng) for t in (humans, pool)]
    common = np.intersect1d(sides[0].row, sides[1].row)
    sides = [_part(t, np.isin(t.row, common)) for t in sides]
    table = _by_cell(sides, common, names)
    who = np.concatenate([_dense(sides[0].respondent), _dense(sides[1].respondent)])
    own, other = (len(np.unique(s.respondent)) for s in sides)
    who[len(sides[0].respondent) :] += own
    row = np.concatenate([s.row for s in sides])
    belief = np.concatenate([s.belief for s in sides])
    labels = _permuted(_patterns(who, row), own, other, reps, rng)
    order = np.lexsort((belief, row))
    blocks = np.flatnonzero(np.append(True, np.diff(row[order]) != 0))
    weights = None if direction is None else direction[row[order][blocks]]
    found = _statistics(labels, who[order], belief[order], np.append(blocks, len(order)), weights)
    return SameLaw(table, *_least_p(found), humans.answers)


def permuted_p(humans: Array, pool: Array, *, reps: int = 999, seed: int = 1) -> float:
    """p-value of a mean that is larger among humans than in the pool, by permutation."""
    rng = np.random.default_rng(seed)
    humans, pool = (
        v if len(v) <= _MOST else rng.choice(v, _MOST, replace=False) for v in (humans, pool)
    )
    both = np.concatenate([humans, pool])
    drawn = rng.permuted(np.tile(both, (reps, 1)), axis=1)[:, : len(humans)].sum(axis=1)
    own = float(humans.sum())
    return float((1 + np.sum(drawn >= own * (1 - 1e-12))) / (reps + 1))


def _thinned(side: Told, rng: np.random.Generator) -> Told:
    known = np.unique(side.respondent)
    if len(known) <= _MOST:
        return side
    return _part(side, np.isin(side.respondent, rng.choice(known, _MOST, replace=False)))


def _part(side: Told, kept: Any) -> Told:
    return Told(side.respondent[kept], side.row[kept], side.belief[kept], side.answers)


def _dense(values: Codes) -> Codes:
    return np.asarray(np.unique(values, return_inverse=True)[1], np.intp)


def _patterns(who: Codes, row: Codes) -> Codes:
    """A number for the set of cells in which each respondent answered."""
    order = np.lexsort((row, who))
    parts = np.split(row[order], np.flatnonzero(np.diff(who[order])) + 1)
    known: dict[bytes, int] = {}
    return np.array([known.setdefault(p.tobytes(), len(known)) for p in parts], np.intp)


def _permuted(pattern: Codes, humans: int, pool: int, reps: int, rng: np.random.Generator) -> Any:
    """Who is called human, (1 + reps, respondents): first as it is."""
    labels = np.zeros((1 + reps, humans + pool), np.float32)
    labels[:, :humans] = 1
    own = np.arange(humans + pool) < humans
    mixed = np.intersect1d(pattern[own], pattern[~own])
    if not np.isin(pattern[own], mixed).all():
        # Nobody of the pool answered where some humans did: only the whole can be permuted.
        pattern = np.zeros_like(pattern)
    for one in np.unique(pattern):
        place = np.flatnonzero(pattern == one)
        labels[1:, place] = rng.permuted(labels[1:, place], axis=1)
    return labels


def _statistics(
    labels: Any, who: Codes, belief: Array, ends: Codes, weights: Array | None
) -> Array:
    """Shift, level and shape of every labelling, (reps + 1, 3)."""
    shift, level = np.zeros((2, labels.shape[1]))
    shape = np.zeros(len(labels))
    for block, (begin, end) in enumerate(pairwise(ends)):
        values, people = belief[begin:end], who[begin:end]
        m = end - begin
        last = np.append(np.diff(values) > 0, True)
        upper = np.flatnonzero(last) + 1.0
        ties = np.diff(np.append(0.0, upper))
        ranks = np.repeat((upper - (ties - 1) / 2 - 0.5) / m - 0.5, ties.astype(int))
        np.add.at(level, people, ranks)
        moved = ranks if weights is None else weights[block] * (values - values.mean())
        np.add.at(shift, people, moved)
        below = np.cumsum(labels[:, people], axis=1)
        n = below[:, -1:]
        with np.errstate(invalid="ignore", divide="ignore"):
            gap = below[:, last] / n - (upper - below[:, last]) / (m - n)
        weight = (n * (m - n))[:, 0] / m**2
        shape += np.where(weight > 0, weight * (np.nan_to_num(gap**2) @ ties), 0.0)
    # In units of its largest value, so that rounding is small beside it.
    shift /= max(float(np.abs(shift).max()), 1e-300)
    return np.column_stack([np.abs(labels @ shift), np.abs(labels @ level), shape])


def _least_p(found: Array) -> tuple[float, dict[str, float]]:
    """The p-value of the least p-value of the columns, whose first row is the data's."""
    slack = 1e-6 * np.abs(found).max(axis=0) + 1e-9  # what permuted sums differ by in rounding
    order = np.sort(found, axis=0)
    above = np.column_stack(
        [
            len(found) - np.searchsorted(order[:, k], found[:, k] - slack[k], side="left")
            for k in range(found.shape[1])
        ]
    )
    least = above.min(axis=1)
    names = ("shift", "level", "shape")
    parts = {name: float(above[0, k] / len(found)) for k, name in enumerate(names)}
    return float(np.mean(least <= least[0])), parts


def _by_cell(sides: list[Told], rows: Codes, names: list[str]) -> pd.DataFrame:
    import pandas as pd

    found = {}
    for row in rows.tolist():
        own, other = (np.sort(s.belief[s.row == row]) for s in sides)
        both = np.concatenate([own, other])
        below = [np.searchsorted(v, both, side="right") / len(v) for v in (own, other)]
        line = {
            "humans": len(own),
            "pool": len(other),
            "mean_humans": own.mean(),
            "mean_pool": other.mean(),
            "largest_gap": float(np.max(np.abs(below[0] - below[1]))),
        }
        for side, values in (("humans", own), ("pool", other)):
            line |= {f"{side}_{q:g}": float(np.quantile(values, q)) for q in _QUANTILES}
        found[names[row]] = line
    return pd.DataFrame(found).T.astype({"humans": int, "pool": int})
