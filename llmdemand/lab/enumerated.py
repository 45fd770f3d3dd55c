"""Questions of which every answer is known: what an estimate is worth, without a draw."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from llmdemand.belief.extract import Extractor
from llmdemand.belief.final.reading import Setting
from llmdemand.belief.tokens import Response, Token
from llmdemand.core.menu import Menu
from llmdemand.errors import DesignError
from llmdemand.lab.cases import Case
from llmdemand.lab.questions import Question, pieces
from llmdemand.modeling.arrays import Array, Codes
from llmdemand.modeling.outcomes.corrected import Readings

__all__ = ["Enumerated", "Share", "share", "walked"]

_LISTED = 0.99  # of the probability at each position; the rest is outside the list


@dataclass(frozen=True)
class Enumerated:
    """All K answers that a question may get.

    Attributes
    ----------
    id, source, language, feature : str
        The question; ``50`` or ``150`` for the set that it is from; its difficulty.
    menu : Menu
        The choice set.
    setting : Setting
        What readers know of the answer's form.
    responses : tuple of Response
        Every answer, with the candidates at every position.
    probability : (K,) array
        Of each; sum 1.
    labels : tuple of str or None
        What each chooses.
    """

    id: str
    source: str
    language: str
    feature: str
    menu: Menu
    setting: Setting
    responses: tuple[Response, ...]
    probability: Array
    labels: tuple[str | None, ...]

    @classmethod
    def of(cls, question: Question | Case) -> Enumerated:
        """A shipped question with all its answers."""
        if isinstance(question, Case):
            words = [(*question.before, *path.tokens) for path in question.paths]
            weights = [path.share for path in question.paths]
            labels = tuple(path.alternative for path in question.paths)
            about = ("50", "en", question.feature)
            setting = Setting(anchors=question.anchors, answer_first=question.answer_first)
        else:
            words = [pieces(answer.text) for answer in question.answers]
            weights = [answer.probability for answer in question.answers]
            labels = tuple(answer.label for answer in question.answers)
            about = ("150", question.language, question.feature)
            setting = Setting()
        probability = np.array(weights) / sum(weights)
        return cls(
            question.id,
            *about,
            question.menu,
            setting,
            walked(words, probability),
            probability,
            labels,
        )

    @property
    def texts(self) -> tuple[str, ...]:
        """Every answer."""
        return tuple(response.text for response in self.responses)

    def codes(self, names: Sequence[str | None]) -> Codes:
        """Places on the menu, -1 for none."""
        return np.array([-1 if n is None else self.menu.index(n) for n in names], np.intp)

    def readings(self, final: Sequence[str | None]) -> Readings:
        """What the pivot rule finds in each answer, beside these final choices."""
        own = self.setting
        read = Extractor(self.menu, answer_first=own.answer_first, anchors=own.anchors)
        found = [read(response) for response in self.responses]
        return Readings(
            np.array([f.belief for f in found], np.float64),
            self.codes([f.choice if f.pivot_index >= 0 else None for f in found]),
            self.codes(final),
            np.array([f.pivot_listed is not False for f in found]),
        )


def walked(words: Sequence[Sequence[str]], probability: Array) -> tuple[Response, ...]:
    """Every answer as a walk through the tree that all of them make.

    At each position the candidates are the tokens with which any answer goes on from there,
    with the probabilities that the answers' own imply, less one in a hundred that is not listed.

    Raises
    ------
    DesignError
        If an answer is the beginning of another: where it ends would be no token.

    Examples
    --------
    >>> one, other = walked([["I", " P"], ["I", " H"]], np.array([0.3, 0.7]))
    >>> [round(math.exp(v), 3) for v in one.tokens[1].logprobs]
    [0.693, 0.297]
    """
    nexts: dict[tuple[str, ...], dict[str, float]] = {}
    ends = {tuple(answer) for answer in words}
    for answer, p in zip(words, probability, strict=True):
        for depth, word in enumerate(answer):
            before = tuple(answer[:depth])
            if before in ends:
                raise DesignError(
                    f"the answer {''.join(before)!r} is the beginning of {''.join(answer)!r}: "
                    "give it an end of its own"
                )
            children = nexts.setdefault(before, {})
            children[word] = children.get(word, 0.0) + float(p)
    made = []
    for answer in words:
        tokens = []
        for depth, word in enumerate(answer):
            children = nexts[tuple(answer[:depth])]
            whole = sum(children.values()) / _LISTED
            order = sorted(children, key=lambda w, at=children: -at[w])  # type: ignore[misc]
            listed = {w: math.log(children[w] / whole) for w in order}
            tokens.append(Token.of(word, listed[word], listed))
        made.append(Response(tuple(tokens), "".join(answer), "stop"))
    return tuple(made)


@dataclass(frozen=True)
class Share:
    """Expectation and variance of an estimate of shares.

    Attributes
    ----------
    mean : (A,) array
        To which shares of many runs tend: ``E[x] / E[r]``.
    variance : (A,) array
        Of one run, ``Var(x - mean r) / E[r]^2``; shares of n runs have an n-th of it.
    """

    mean: Array
    variance: Array


def share(outcomes: Array, read: Array, probability: Array) -> Share:
    """Shares among the runs that are read, over all answers; NaN if none is.

    Examples
    --------
    >>> found = share(np.eye(2), np.ones(2), np.array([0.3, 0.7]))
    >>> found.mean.tolist(), found.variance.round(2).tolist()
    ([0.3, 0.7], [0.21, 0.21])
    """
    below = float(probability @ read)
    if not below > 0:
        nothing = np.full(outcomes.shape[1], np.nan)
        return Share(nothing, nothing)
    mean = probability @ outcomes / below
    variance = probability @ (outcomes - read[:, None] * mean) ** 2 / below**2
    return Share(np.asarray(mean), np.asarray(variance))
