"""How the humans were sampled: weights, strata, clusters, selection probabilities, margins."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from llmdemand.calibration.samples.raking import (
    Margins,
    check_margins,
    indicators,
    positive,
    rake,
)
from llmdemand.errors import DesignError, UsageError
from llmdemand.modeling.arrays import Array, Codes
from llmdemand.modeling.sample.sample import require

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Side", "Survey", "Surveyed", "surveyed"]


@dataclass(frozen=True)
class Survey:
    """Columns that say how people came into the sample; see `calibrate`.

    Attributes
    ----------
    weights, strata, psu, probability : str or None
        Columns of the humans; strata also of the beliefs, psu and weights where they have them.
    margins : mapping or None
        Known margins of the population.
    """

    weights: str | None = None
    strata: str | None = None
    psu: str | None = None
    probability: str | None = None
    margins: Margins | None = None

    def __bool__(self) -> bool:
        return any(
            v is not None
            for v in (self.weights, self.strata, self.psu, self.probability, self.margins)
        )

    def check(self, design: Any) -> None:
        """Refuse what cannot be had together.

        Raises
        ------
        UsageError
        """
        if self.margins is not None:
            check_margins(self.margins)
            if self.probability is not None:
                raise UsageError(
                    "margins and probability: selection probabilities are known, and raked weights "
                    "would not be their inverse; give one"
                )
        if design == "sampled" and (self.strata or self.probability):
            raise UsageError(
                "strata and probability are for data with cells: design='sampled' takes rows as "
                "draws from one law"
            )


@dataclass(frozen=True)
class Side:
    """One side's cases and people.

    Attributes
    ----------
    frame : pandas.DataFrame
        Its rows.
    start : (N,) int array
        First row of each case.
    who : (N,) int array
        Person of each case, 0 to n - 1.
    label : (n,) int array
        Persons in a numbering of both sides.
    """

    frame: pd.DataFrame
    start: Codes
    who: Codes
    label: Codes


@dataclass(frozen=True)
class Surveyed:
    """What the columns say.

    Attributes
    ----------
    weights : pair of arrays
        Of the cases of humans and pool.
    strata : pair of int arrays
        Of the cases.
    names : tuple of str
        Of the strata; one without any.
    units : pair of int arrays
        Unit of inference (person or cluster) of each person; those of the pool go on from the
        humans', and share their numbers where they are the same.
    labels : pair of int arrays
        Each person in the numbering of `Told.respondent`.
    size : int
        Units of the humans.
    everyone : bool
        Whether the pool is everybody from whom humans were selected, these included.
    margins : three arrays or None
        Indicators of margins by person, (n, A), weights before and after raking, (n,).
    notes : tuple of str
        What has to be said.
    """

    weights: tuple[Array, Array]
    strata: tuple[Codes, Codes]
    names: tuple[str, ...]
    units: tuple[Codes, Codes]
    labels: tuple[Codes, Codes]
    size: int
    everyone: bool
    margins: tuple[Array, Array, Array] | None = field(repr=False)
    notes: tuple[str, ...]

    @property
    def clustered(self) -> bool:
        """Whether units are more than persons."""
        return self.size < len(self.units[0])

    @property
    def comparable(self) -> bool:
        """Whether both sides' beliefs would have one law as they are, unit by unit."""
        equal = all((w == w[0]).all() for w in self.weights)
        apart = not np.isin(self.units[1], self.units[0]).any()
        return equal and apart and len(self.names) == 1


def surveyed(survey: Survey, humans: Side, pool: Side) -> Surveyed:
    """Read the columns of a survey.

    Raises
    ------
    DesignError
        For missing columns or values, weights that are not above zero, probabilities outside
        (0, 1], strata of one side alone, people in several strata or clusters.
    """
    says: list[str] = []
    weights, raked = _weights(survey, humans, pool, says)
    names: tuple[str, ...] = ("all",)
    strata = np.zeros(len(humans.start), np.intp), np.zeros(len(pool.start), np.intp)
    if survey.strata is not None:
        strata, names = _strata(survey.strata, humans, pool)
    units, size = _units(survey.psu, humans, pool, says)
    return Surveyed(
        weights,
        strata,
        names,
        units,
        (humans.label, pool.label),
        size,
        survey.probability is not None,
        raked,
        tuple(says),
    )


def _of_cases(side: Side, column: str, where: str) -> Any:
    """A column's values by case, the same in all rows of a case."""
    require([column], [str(c) for c in side.frame.columns], where)
    values = side.frame[column]
    if values.isna().any():
        row = int(np.flatnonzero(values.isna())[0])
        raise DesignError(f"{column!r} is missing {where} (row {row}): mend it or leave rows out")
    return values.iloc[side.start]


def _people(side: Side) -> tuple[pd.DataFrame, Codes]:
    """A row per person."""
    first = np.unique(side.who, return_index=True)[1]
    rows = side.frame.iloc[side.start[first]].reset_index(drop=True)
    return rows, np.arange(len(rows))


def _weights(
    survey: Survey, humans: Side, pool: Side, says: list[str]
) -> tuple[tuple[Array, Array], tuple[Array, Array, Array] | None]:
    """Weights of both sides' cases, and what raking did."""
    own: Array = np.ones(len(humans.start))
    other: Array = np.ones(len(pool.start))
    if survey.weights is not None:
        own = positive(_of_cases(humans, survey.weights, "among the humans"), survey.weights)
        if survey.weights in pool.frame.columns:
            other = positive(_of_cases(pool, survey.weights, "of the pool"), survey.weights)
        else:
            says.append(
                f"the pool has no weights {survey.weights!r}: its respondents are taken for a "
                "sample of the population that the humans are weighted to"
            )
    if survey.probability is not None:
        p = positive(_of_cases(humans, survey.probability, "among the humans"), survey.probability)
        if (p > 1).any():
            raise DesignError(f"probabilities {survey.probability!r} above 1 (one is {p.max():g})")
        own = np.asarray(own / p)
        says.append(
            f"humans are weighted by the inverse of {survey.probability!r}; the pool is everybody "
            "from whom they were selected"
        )
    if survey.margins is None:
        return (own, other), None
    rows, first = _people(humans)
    start = own[np.unique(humans.who, return_index=True)[1]]
    if (own != start[humans.who]).any():
        raise DesignError("margins need weights that are one number for each person")
    name = "weight of calibration"
    raked = rake(rows.assign(**{name: start}), survey.margins, weights=name)
    final = np.asarray(raked.weights, np.float64)
    says.append(
        f"humans are raked to margins of {', '.join(survey.margins)}: {len(rows):,} people are "
        f"worth {raked.effective:,.0f} equally weighted ones; errors are those of what the margins "
        "leave unexplained"
    )
    known = indicators(rows, survey.margins, np.arange(len(rows)), first)[0]
    return (final[humans.who], other), (known, start, final)


def _strata(column: str, humans: Side, pool: Side) -> tuple[tuple[Codes, Codes], tuple[str, ...]]:
    own = _of_cases(humans, column, "among the humans").astype(str).to_numpy(object)
    other = _of_cases(pool, column, "of the pool").astype(str).to_numpy(object)
    names, codes = np.unique(np.concatenate([own, other]), return_inverse=True)
    parts = codes[: len(own)], codes[len(own) :]
    for k, name in enumerate(names):
        lone = [w for w, c in zip(("humans", "pool"), parts, strict=True) if not (c == k).any()]
        if lone:
            raise DesignError(
                f"stratum {name!r} of {column!r} has nobody among the {lone[0]}: strata need both "
                "sides; join it with another"
            )
    if len(names) < 2:
        raise DesignError(f"strata {column!r} have one value: there is nothing to divide")
    for side, code in zip((humans, pool), parts, strict=True):
        first = np.unique(side.who, return_index=True)[1]
        if (code != code[first][side.who]).any():
            raise DesignError(f"some respondents are in several strata of {column!r}")
    return (parts[0].astype(np.intp), parts[1].astype(np.intp)), tuple(map(str, names))


def _units(
    psu: str | None, humans: Side, pool: Side, says: list[str]
) -> tuple[tuple[Codes, Codes], int]:
    """Units of both sides' people, humans' first; and the number of theirs."""
    labels: list[Any] = [humans.label.astype(object), pool.label.astype(object)]
    if psu is not None:
        labels[0] = _psu(psu, humans, "among the humans")
        if psu in pool.frame.columns:
            labels[1] = _psu(psu, pool, "of the pool")
        else:
            says.append(f"the pool has no {psu!r}: its respondents are taken for independent")
            labels[1] = np.array([f"person {k}" for k in pool.label], object)
    known, own = np.unique(labels[0], return_inverse=True)
    if len(known) < 2:
        raise DesignError(f"{psu!r} has one value: errors between clusters need at least 2")
    number = {v: k for k, v in enumerate(known.tolist())}
    other = np.array([number.setdefault(v, len(number)) for v in labels[1].tolist()], np.intp)
    return (own.astype(np.intp), other), len(known)


def _psu(column: str, side: Side, where: str) -> Any:
    values = _of_cases(side, column, where).astype(str).to_numpy(object)
    first = np.unique(side.who, return_index=True)[1]
    if (values != values[first][side.who]).any():
        raise DesignError(f"some respondents are in several clusters of {column!r}")
    return np.array([f"psu {v}" for v in values[first]], object)
