"""Readers of whole answers against labels, and shares by belief, corrected belief and choice."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from llmdemand.belief.final.rules import Rules
from llmdemand.core.menu import MenuWarning
from llmdemand.lab.cases import load_cases
from llmdemand.lab.enumerated import Enumerated, share
from llmdemand.lab.questions import load_questions
from llmdemand.modeling.arrays import Array, Codes
from llmdemand.modeling.outcomes.corrected import corrected, indicators
from llmdemand.simulation.judge import Judge

__all__ = ["ROUNDING", "Finals", "finals", "shipped"]

#: What sums of a few numbers may lose.
ROUNDING = 1e-12
_LABELS = "labels"
_MARKS = ("right", "abstained", "wrong")
_ABOUT = ("set", "language", "class")
#: Final choices of every answer to a question, by reader.
_Read = Mapping[str, tuple[str | None, ...]]


@dataclass(frozen=True)
class Finals:
    """How whole answers are read, and what shares come of it.

    Attributes
    ----------
    readings, classes : pandas.DataFrame
        By ``group`` (all, set and language of the 150; then class): ``answers`` and, for the
        choice at the pivot and each reader of the whole answer, ``<reader> right`` (as labelled,
        nothing included), ``abstained`` (nothing where the label names an alternative) and
        ``wrong``. Of the 50 questions only the recorded answer counts.
    shares : pandas.DataFrame
        By ``estimate`` and ``set``: ``questions`` with more than one answer, ``without`` (those
        where it does not exist), ``mean_abs_bias, max_abs_bias`` (over questions, of the
        alternative whose share is missed most) and ``variance`` (summed over questions and
        alternatives, over that of the labels' choices).
    questions : pandas.DataFrame
        A row per question: ``bias <estimate>``, signed, of that alternative, and for readers
        ``right <reader>``, whether all answers are read as labelled.
    off_reader, off_labels : float
        The largest difference between shares by corrected belief and those of its own reader
        anywhere; and those of the labels wherever the reader is right throughout.
    """

    readings: pd.DataFrame
    classes: pd.DataFrame
    shares: pd.DataFrame
    questions: pd.DataFrame
    off_reader: float
    off_labels: float

    @property
    def exact(self) -> bool:
        """Whether corrected belief is what it is said to be, but for rounding."""
        return bool(max(self.off_reader, self.off_labels) < ROUNDING)

    @property
    def verdict(self) -> str:
        """What the tables say, in words."""
        whole = self.readings.iloc[0]
        readers = [c.removesuffix(" right") for c in self.readings.columns if c.endswith("right")]
        read = "; ".join(
            f"{r} " + ", ".join(f"{whole[r + ' ' + mark]} {mark}" for mark in _MARKS)
            for r in readers
        )
        total = self.shares[self.shares["set"] == "all"].set_index("estimate")
        bias = "; ".join(
            f"{name} {row['mean_abs_bias']:.3f} ({row['max_abs_bias']:.2f} at most)"
            for name, row in total.iterrows()
            if not str(name).startswith("final")
        )
        led = "IS" if self.exact else "is NOT"
        return (
            f"Of {whole['answers']} labelled answers: {read}. Mean absolute bias over "
            f"{int(total['questions'].iloc[0])} questions: {bias}. Corrected belief {led}, but for "
            f"rounding, the share of its reader everywhere (off by {self.off_reader:.0e} at most) "
            "and that of the labels wherever the reader is right "
            f"({self.off_labels:.0e})."
        )


def shipped() -> tuple[Enumerated, ...]:
    """The 50 questions and the 74 of whole answers.

    >>> sum(len(q.responses) for q in shipped() if q.source == "150")
    150
    """
    cases, questions = map(Enumerated.of, load_cases()), map(Enumerated.of, load_questions())
    return (*cases, *questions)


def finals(
    questions: Iterable[Enumerated] | None = None,
    judge: Judge | None = None,
    progress: Callable[[float], None] | None = None,
) -> Finals:
    """Read every answer to every question, and enumerate what shares come of it.

    Parameters
    ----------
    questions : iterable of Enumerated, optional
        Those that are shipped by default.
    judge : Judge, optional
        A language model that reads them too.
    progress : callable, optional
        Called with the share of questions that are done.

    Returns
    -------
    Finals

    Examples
    --------
    >>> found = finals()
    >>> found.exact, len(found.questions)
    (True, 124)
    """
    known = shipped() if questions is None else tuple(questions)
    judged = {} if judge is None else _judged(known, judge)
    answers, shares = [], []
    for k, question in enumerate(known):
        read = _read(question, judged)
        answers += _answers(question, read)
        shares.append(_shares(question, read))
        if progress is not None:
            progress((k + 1) / len(known))
    labelled, wide = pd.DataFrame(answers), pd.DataFrame(shares)
    return Finals(
        _readings(labelled, ("set", "language")),
        _readings(labelled, ("class",)).iloc[1:],
        _summed(wide),
        wide[[c for c in wide.columns if not c.startswith("variance ")]],
        float(wide["off reader"].max()),
        float(wide["off labels"].max()),
    )


def _judged(questions: Sequence[Enumerated], judge: Judge) -> dict[tuple[object, str], str | None]:
    """What a judge reads, each text of a menu once."""
    texts: dict[Any, list[str]] = {}
    for question in questions:
        texts.setdefault(question.menu, []).extend(question.texts)
    with warnings.catch_warnings():
        # Names that begin alike are among what is tested.
        warnings.simplefilter("ignore", MenuWarning)
        return {
            (menu, text): found.choice
            for menu, some in texts.items()
            for text, found in judge.judgements(dict.fromkeys(some), menu).items()
        }


def _read(
    question: Enumerated, judged: Mapping[tuple[object, str], str | None]
) -> dict[str, tuple[str | None, ...]]:
    rules, menu = Rules(), question.menu
    found: dict[str, tuple[str | None, ...]] = {
        "rules": tuple(rules.read(t, menu, question.setting).choice for t in question.texts)
    }
    if judged:
        found["judge"] = tuple(judged[menu, text] for text in question.texts)
    return {**found, _LABELS: question.labels}


def _answers(question: Enumerated, read: _Read) -> list[dict[str, Any]]:
    """A row for each labelled answer; of the 50, for the recorded one."""
    pivot = question.readings(question.labels).pivot
    rows = []
    for k, label in enumerate(question.labels[: 1 if question.source == "50" else None]):
        said = {"pivot": question.menu.ids[pivot[k]] if pivot[k] >= 0 else None}
        said |= {name: choices[k] for name, choices in read.items() if name != _LABELS}
        about = (question.source, question.language, question.feature)
        rows.append(
            {
                **dict(zip(_ABOUT, about, strict=True)),
                **{name: _mark(choice, label) for name, choice in said.items()},
            }
        )
    return rows


def _mark(choice: str | None, label: str | None) -> str:
    return "right" if choice == label else "abstained" if choice is None else "wrong"


def _readings(answers: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """Counts of all answers, and by the groups of each of these columns."""
    groups = [("all", answers)]
    for column in by:
        # The 50 are in English, each of a class of its own.
        part = answers if column == "set" else answers[answers["set"] != "50"]
        groups += [(str(name), rows) for name, rows in part.groupby(column, sort=False)]
    readers = [c for c in answers.columns if c not in _ABOUT]
    return pd.DataFrame(
        [
            {"group": name, "answers": len(rows)}
            | {f"{r} {mark}": int((rows[r] == mark).sum()) for r in readers for mark in _MARKS}
            for name, rows in groups
        ]
    )


def _shares(question: Enumerated, read: _Read) -> dict[str, Any]:
    """Bias and variance of every estimate of the labels' shares among answers that decide."""
    p, size = question.probability, len(question.menu)
    truth = _counted(question, question.labels)
    row: dict[str, Any] = {
        "id": question.id,
        "set": question.source,
        "answers": len(p),
        "off reader": 0.0,
        "off labels": 0.0,
    }
    at = question.readings(question.labels)
    used = np.isfinite(at.belief).all(axis=1) & (at.pivot >= 0)
    estimates: dict[str, tuple[Array, Array]] = {
        "plain belief": (np.where(used[:, None], at.belief, 0.0), used.astype(float)),
        "choice at the pivot": _chosen(at.pivot, size),
    }
    for reader, choices in read.items():
        found = corrected(question.readings(choices))
        estimates[f"corrected belief, {reader}"] = found.outcomes, found.read
        estimates[f"final choice, {reader}"] = _chosen(question.codes(choices), size)
        gap = _gap(share(found.outcomes, found.read, p).mean, _counted(question, choices))
        row["off reader"] = max(row["off reader"], gap)
        row[f"right {reader}"] = choices == question.labels
        if choices == question.labels:
            gap = _gap(share(found.outcomes, found.read, p).mean, truth)
            row["off labels"] = max(row["off labels"], gap)
    for name, (outcomes, weight) in estimates.items():
        found_share = share(outcomes, weight, p)
        error = found_share.mean - truth
        known = bool(np.isfinite(error).all())
        row[f"bias {name}"] = (
            float(error[np.abs(error).round(9).argmax()]) if known else float("nan")
        )
        row[f"variance {name}"] = float(found_share.variance.sum())
    return row


def _chosen(codes: Codes, size: int) -> tuple[Array, Array]:
    said = indicators(codes, size)
    return said, said.sum(axis=1)


def _counted(question: Enumerated, choices: Sequence[str | None]) -> Array:
    """Shares of choices among those that are one, added up one by one."""
    shares = dict.fromkeys(question.menu.ids, 0.0)
    for p, choice in zip(question.probability, choices, strict=True):
        if choice is not None:
            shares[choice] += float(p)
    whole = sum(shares.values())
    return np.array(list(shares.values())) / whole if whole else np.full(len(shares), np.nan)


def _gap(shares: Array, wanted: Array) -> float:
    """The largest difference; none where nothing is read, infinite where one side alone is."""
    if np.isnan(shares).all() and np.isnan(wanted).all():
        return 0.0
    gap = float(np.abs(shares - wanted).max())
    return gap if np.isfinite(gap) else float("inf")


def _summed(wide: pd.DataFrame) -> pd.DataFrame:
    names = [c.removeprefix("bias ") for c in wide.columns if c.startswith("bias ")]
    rows = []
    for name in names:
        for source in ("50", "150", "all"):
            part = wide[(wide["answers"] > 1) & ((source == "all") | (wide["set"] == source))]
            # Where labels decide in no answer, there is no share to miss.
            part = part[part[f"bias final choice, {_LABELS}"].notna()]
            bias = part[f"bias {name}"].abs()
            own = part[bias.notna()]
            below = own[f"variance final choice, {_LABELS}"].sum()
            rows.append(
                {
                    "estimate": name,
                    "set": source,
                    "questions": len(part),
                    "without": int(bias.isna().sum()),
                    "mean_abs_bias": float(bias.mean()),
                    "max_abs_bias": float(bias.max()),
                    "variance": float(own[f"variance {name}"].sum() / below) if below else np.nan,
                }
            )
    return pd.DataFrame(rows)
