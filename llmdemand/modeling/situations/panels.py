"""Respondents in files: their places among all, and the likelihood of their tastes in passes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from operator import methodcaller
from typing import TYPE_CHECKING, Any, Self, cast

import numpy as np

from llmdemand.errors import UsageError
from llmdemand.modeling.arrays import Array, Codes, sums
from llmdemand.modeling.estimation.choices import Wanted, places
from llmdemand.modeling.estimation.mixed import problem_of
from llmdemand.modeling.estimation.mixing.mixing import Mixing
from llmdemand.modeling.likelihood.cases import llf_of_constants
from llmdemand.modeling.passes.cases import SpreadCases
from llmdemand.modeling.passes.rows import Numbered, remembered
from llmdemand.modeling.passes.spread import NEEDS, Spread, beside
from llmdemand.modeling.sample.columns import stacked
from llmdemand.modeling.situations.reading import File, Situations, appearing
from llmdemand.modeling.substitution.draws import Drawn, uniform_draws
from llmdemand.modeling.substitution.draws import Sequence as DrawSequence
from llmdemand.modeling.substitution.laws import Law
from llmdemand.modeling.substitution.mixed import MixedPanels
from llmdemand.modeling.substitution.panels import Panels, Seen
from llmdemand.modeling.substitution.respondents import Respondents
from llmdemand.scale.session import Session

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Answering", "Ranked", "SpreadPanels", "ranked", "seen"]


@dataclass(frozen=True)
class Ranked:
    """Files whose respondents have their places among all.

    Attributes
    ----------
    shards : list of pairs
        The files.
    respondents : pandas.Index, (I,)
        Ids in their order.
    kinds : dict
        What cases and alternatives are in all files, by column.
    """

    shards: list[Numbered]
    respondents: pd.Index[Any]
    kinds: dict[str, Any]


def ranked(shards: list[Numbered], wanted: Wanted, session: Session) -> Ranked:
    """The places of respondents: one pass, which gathers the ids of all of them.

    Draws belong to places, so that a respondent has those that one machine would give.
    """
    import pandas as pd

    assert wanted.panel is not None
    found = session.map_merge(partial(_ids, wanted=wanted), shards)
    held = [(ids.to_frame(), keys) for _, ids, keys in found if len(ids)]
    whole = stacked([ids for ids, _ in held])[wanted.panel]
    place = places(whole)
    ends = np.cumsum([len(ids) for _, ids, _ in found])
    parts = np.split(place.astype(np.intp), ends[:-1])
    known: dict[int, list[Codes]] = {k: [] for k, _ in shards}
    for (k, _, _), part in zip(found, parts, strict=True):
        known[k].append(part)
    return Ranked(
        [(k, replace(file, ranks=tuple(known[k]))) for k, file in shards],
        pd.Index(whole.iloc[np.argsort(place)], name=wanted.panel),
        dict(stacked([keys for _, keys in held]).dtypes),
    )


def _ids(shard: Numbered, wanted: Wanted) -> list[tuple[int, pd.Series[Any], pd.DataFrame]]:
    """Of each part of a file the respondents, and columns of no row that tell their kind."""
    found = []
    for frame, first in shard[1].parts(wanted.columns):
        rows, _ = wanted.rows(frame, first)
        keys = rows[list(dict.fromkeys([wanted.case, wanted.alternative]))].iloc[:0]
        found.append((shard[0], appearing(rows[wanted.panel])[1], keys))
    return found


def seen(shards: list[Numbered], reader: Situations, largest: Array, session: Session) -> Seen:
    """See `llmdemand.modeling.substitution.panels.Seen`."""
    work = partial(_seen, reader=reader, largest=largest)
    nobody = Seen(0, 0, np.zeros(len(largest), np.intp), np.zeros(len(largest)))
    found: Seen = session.map_merge(partial(work, nobody=nobody), shards)
    return found


def _seen(shard: Numbered, reader: Situations, largest: Array, nobody: Seen) -> Seen:
    found = nobody
    for read, _ in reader.read(shard[1]):
        if read is not None and read.respondent is not None:
            found = found + Panels(read.cases, read.respondent).seen(largest)
    return found


@dataclass(frozen=True, eq=False)
class Answering:
    """Respondents of each file, without draws as yet.

    Attributes
    ----------
    situations : Situations
        Their choice situations.
    law, mixing, pairwise, fractional
        See `llmdemand.modeling.estimation.mixed.problem_of`.
    key : str
        By which workers know what they keep.
    """

    situations: Situations
    law: Law
    mixing: Mixing
    pairwise: bool
    fractional: bool
    key: str

    @property
    def clusters(self) -> tuple[str, ...]:
        """Columns of clusters."""
        return self.situations.clusters

    def of(self, shard: Numbered) -> Iterator[tuple[Respondents, dict[str, Any]]]:
        """See `llmdemand.modeling.passes.rows.Reader`; who does not count at all is left out."""
        return remembered((self.key, shard[0]), lambda: self._read(shard[1]), _bytes)

    def _read(self, file: File) -> Iterator[tuple[Respondents, dict[str, Any]]]:
        for read, _ in self.situations.read(file):
            if read is None or read.respondent is None:
                continue
            panels, ranks, heads = Panels(read.cases, read.respondent), read.ranks, read.heads
            once = panels.tasks == 1 if self.pairwise else np.zeros(panels.people, bool)
            used = (read.cases.count[panels.heads] > 0) & ~once
            if not used.any():
                continue
            heads = heads.iloc[panels.heads[used]]
            if not used.all():
                rows = used[read.respondent]
                kept = (np.cumsum(used) - 1)[read.respondent[rows]]
                panels = Panels(read.cases.weighted(rows.astype(float)), kept, panels.widest)
                ranks = ranks[used]
            yield (
                problem_of(
                    panels,
                    self.law,
                    self.mixing,
                    pairwise=self.pairwise,
                    fractional=self.fractional,
                    ranks=ranks,
                ),
                {name: heads[name].to_numpy() for name in self.clusters},
            )


def _bytes(data: Respondents, groups: dict[str, Any]) -> int:
    # Regressors are held twice, by row and by respondent, and pairs of rows of each respondent.
    size = 2 * data.cases.x.nbytes + 8 * data.cases.y.nbytes
    for block in data.panels.blocks if data.paired else ():
        size += 8 * len(block.who) * block.x.shape[1] ** 2
    if isinstance(data, MixedPanels):
        size += sum(some.nbytes for some in data.chosen)
    return int(size + sum(g.nbytes for g in groups.values()))


@dataclass(frozen=True, eq=False)
class SpreadPanels(Spread):
    """Respondents in files whose tastes follow a law: see `Spread`.

    Draws are made where they are needed, of those respondents alone who are at work.

    Attributes
    ----------
    law : Law
        Of the coefficients.
    plain : SpreadCases
        The choice situations, as of a plain logit.
    people : int
        Respondents, whether they count or not.
    paired : bool
        See `llmdemand.modeling.substitution.smooth.Smooth`.
    kind, draws, seed
        See `uniform_draws`.
    """

    law: Law = field(kw_only=True)
    plain: SpreadCases = field(kw_only=True)
    people: int = field(kw_only=True)
    paired: bool = False
    kind: DrawSequence = "sobol"
    draws: int = 0
    seed: int = 1

    @property
    def size(self) -> int:
        """P, the number of parameters."""
        return self.law.size

    @property
    def corrected(self) -> bool:
        """Whether outcomes are corrected beliefs."""
        return self.plain.corrected

    @property
    def observations(self) -> Array:
        """Respondents that are counted: in each cluster, or all of them."""
        return super().observations if self.rows.clusters else self._counted

    @cached_property
    def _counted(self) -> Array:
        return np.asarray(self._summed(_people)[0])

    @property
    def _made_by(self) -> Callable[[Any], Any]:
        return methodcaller("drawn", self.kind, self.draws, self.seed)

    def drawn(self, kind: DrawSequence, size: int, seed: int) -> Self:
        """Themselves with so many draws of each."""
        # What cannot be drawn is said here, not by a worker.
        uniform_draws(np.array([self.people - 1]), size, len(self.law.random), kind, seed)
        return replace(self, kind=kind, draws=size, seed=seed, _known={})

    def oriented(self, params: Array) -> Array:
        """See `Law.oriented`."""
        return self.law.oriented(params)

    def skewed(self, params: Array) -> Array:
        """See `MixedPanels.skewed`."""
        return np.asarray(self._summed(partial(_skewed, params=params))[0])

    def rounding(self, params: Array) -> None:  # type: ignore[override]
        """Not known: see `People.rounding`."""

    def constants(self) -> SpreadCases:
        """See `SpreadCases.constants`."""
        return self.plain.constants()

    def llnull(self) -> float | None:
        """See `Cases.llnull`."""
        if not self.survey.balanced or self.survey.offset:
            return None
        chosen, read = self._summed(partial(_chosen, size=len(self.survey.chosen)))
        return llf_of_constants(chosen, float(read), corrected=self.paired)

    def saturated(self) -> float:
        """The log-likelihood of a perfect fit, 0, where choices were observed."""
        if self.fractional or self.paired:
            raise UsageError(NEEDS.format("a deviance"))
        return 0.0

    def posterior(self, params: Array) -> tuple[Array, Array]:
        """See `MixedPanels.posterior`; NaN for those who are counted 0 times."""
        assert not self.paired
        ranks, *found = self._asked(partial(_posterior, params=params), beside)
        whole = np.full((2, self.people, len(self.law.terms)), np.nan)
        whole[:, ranks] = found
        return whole[0], whole[1]


def _people(data: Respondents) -> Any:
    return (data.count.sum(keepdims=True),)


def _skewed(data: MixedPanels, params: Array) -> Any:
    return (data.skewed(params),)


def _chosen(data: Respondents, size: int) -> Any:
    alone = data.alone()
    w = alone.count * alone.weight
    read = w if alone.read is None else w * alone.read
    return sums(alone.labels, alone.sets.spread(w) * alone.y, size), np.float64(read.sum())


def _posterior(data: MixedPanels, params: Array) -> Any:
    return (cast(Drawn, data.standard).ranks, *data.posterior(params))
