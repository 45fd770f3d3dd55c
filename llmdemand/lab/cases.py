"""Questions with hand-labelled answers: a small tree of tokens for each."""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from llmdemand.belief.tokens import Response, Token
from llmdemand.core.menu import Alternative, Menu, MenuWarning
from llmdemand.core.resources import data_file
from llmdemand.errors import DesignError

__all__ = ["Case", "Path", "load_cases"]

# Words of the frame: nearly certain. A mention in it leaves its rivals some probability.
_FRAME, _RIVAL = 0.90, 0.05
_FILLER = ((" well", 0.02), (" really", 0.01))


@dataclass(frozen=True)
class Path:
    """One way in which an answer goes on.

    Attributes
    ----------
    alternative : str or None
        What it decides for.
    share : float
        Its probability among the paths.
    tokens : tuple of str
        The tokens after the shared beginning.
    pivot : int or None
        Which of them is the pivot, by hand.
    """

    alternative: str | None
    share: float
    tokens: tuple[str, ...]
    pivot: int | None


@dataclass(frozen=True)
class Case:
    """One question, and the tree of its answers.

    Attributes
    ----------
    id, domain, feature, prompt : str
        What is asked, and which difficulty it stands for.
    menu : Menu
        The choice set.
    before : tuple of str
        Tokens that all paths share.
    paths : tuple of Path
        The first is the recorded answer; shares sum to 1.
    also : mapping of str to float
        Candidates where paths begin that name nothing, and their probability.
    anchors : tuple of str
        Texts after which the answer begins.
    answer_first : bool
        Whether the prompt asks for the choice as the first word.

    Raises
    ------
    DesignError
        If shares do not sum to 1, or an alternative is not on the menu.
    """

    id: str
    domain: str
    feature: str
    prompt: str
    menu: Menu
    before: tuple[str, ...]
    paths: tuple[Path, ...]
    also: Mapping[str, float]
    anchors: tuple[str, ...] = ()
    answer_first: bool = False

    def __post_init__(self) -> None:
        whole = sum(path.share for path in self.paths)
        if abs(whole - 1) > 1e-9:
            raise DesignError(f"case {self.id}: shares of its paths sum to {whole:g}, not to 1")
        for path in self.paths:
            if path.alternative is not None:
                self.menu.index(path.alternative)

    @property
    def choice(self) -> str | None:
        """The recorded answer's choice, by hand."""
        return self.paths[0].alternative

    @property
    def pivot(self) -> int:
        """The recorded answer's pivot token, by hand; -1 where there is none."""
        return self.pivot_of(0)

    def pivot_of(self, path: int) -> int:
        """The pivot token of a path, counted from the beginning of the answer; -1 if none."""
        found = self.paths[path].pivot
        return -1 if found is None else len(self.before) + found

    @property
    def uncertain(self) -> bool:
        """Whether there is anything to be uncertain of: at least two paths."""
        return len(self.paths) > 1

    @cached_property
    def truth(self) -> dict[str, float]:
        """Probability of every alternative, over paths."""
        shares = dict.fromkeys(self.menu.ids, 0.0)
        for path in self.paths:
            if path.alternative is not None:
                shares[path.alternative] += path.share
        return shares

    def response(self, path: int = 0, shares: tuple[float, ...] | None = None) -> Response:
        """The answer along one path, with the candidates listed at every position.

        Where paths part, a candidate's probability is that of the paths that go through it;
        elsewhere tokens are nearly certain.

        Parameters
        ----------
        path : int
            Which one.
        shares : tuple of float, optional
            Probabilities of the paths in place of their own.
        """
        weights = tuple(p.share for p in self.paths) if shares is None else shares
        way, tokens = self.paths[path], [self._framed(word) for word in self.before]
        for depth, word in enumerate(way.tokens):
            going = [
                (weight, other)
                for weight, other in zip(weights, self.paths, strict=True)
                if other.tokens[:depth] == way.tokens[:depth] and len(other.tokens) > depth
            ]
            nexts: dict[str, float] = {}
            for weight, other in going:
                nexts[other.tokens[depth]] = nexts.get(other.tokens[depth], 0.0) + weight
            tokens.append(
                self._parting(word, nexts, depth) if len(nexts) > 1 else self._framed(word)
            )
        text = "".join(token.data.decode() for token in tokens)
        return Response(tuple(tokens), text, "stop")

    def _parting(self, word: str, nexts: Mapping[str, float], depth: int) -> Token:
        also = dict(self.also) if depth == 0 else {}
        left = 0.99 - sum(also.values())
        whole = sum(nexts.values())
        listed = {t: w / whole * left for t, w in nexts.items()} | also
        return _token(word, listed)

    def _framed(self, word: str) -> Token:
        listed = {word: _FRAME, **{w: p for w, p in _FILLER if w != word}}
        # Where a name is begun, names of the others could have come as well.
        heads = list(dict.fromkeys(p.tokens[0] for p in self.paths if p.tokens))
        if word in heads:
            others = [head for head in heads if head != word]
            listed |= {head: _RIVAL / len(others) for head in others}
        return _token(word, listed)

    def to_dict(self) -> dict[str, Any]:
        """Plain data, the recorded answer with its candidates included."""
        recorded = self.response()
        return {
            "id": self.id,
            "domain": self.domain,
            "feature": self.feature,
            "prompt": self.prompt,
            "menu": self.menu.to_dict(),
            "answer_first": self.answer_first,
            "anchors": list(self.anchors),
            "text": recorded.text,
            "pivot": None if self.pivot < 0 else self.pivot,
            "choice": self.choice,
            "tokens": [
                {
                    "token": token.data.decode(),
                    "logprob": round(token.logprob, 6),
                    "top": {
                        c.decode(): round(v, 6)
                        for c, v in zip(token.candidates, token.logprobs, strict=True)
                    },
                }
                for token in recorded.tokens
            ],
            "before": list(self.before),
            "paths": [
                {
                    "alternative": p.alternative,
                    "share": p.share,
                    "tokens": list(p.tokens),
                    "pivot": p.pivot,
                }
                for p in self.paths
            ],
            "also": dict(self.also),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Case:
        """A case from what `to_dict` gives."""
        with warnings.catch_warnings():
            # Labels that begin alike are among what is tested.
            warnings.simplefilter("ignore", MenuWarning)
            menu = Menu(
                tuple(Alternative(**{**a, "forms": tuple(a["forms"])}) for a in data["menu"])
            )
        return cls(
            data["id"],
            data["domain"],
            data["feature"],
            data["prompt"],
            menu,
            tuple(data["before"]),
            tuple(
                Path(p["alternative"], p["share"], tuple(p["tokens"]), p["pivot"])
                for p in data["paths"]
            ),
            dict(data["also"]),
            tuple(data["anchors"]),
            data["answer_first"],
        )


def load_cases() -> tuple[Case, ...]:
    """The fifty shipped questions.

    >>> len(load_cases())
    50
    """
    text = data_file("pivots", "prompts.jsonl").read_text("utf-8")
    return tuple(Case.from_dict(json.loads(line)) for line in text.splitlines())


def _token(word: str, listed: Mapping[str, float]) -> Token:
    logs = {t: math.log(p) for t, p in sorted(listed.items(), key=lambda x: -x[1])}
    return Token.of(word, logs[word], logs)
