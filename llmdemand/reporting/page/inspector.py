"""Sampled answers, token by token: where the pivot is, and what else was listed there."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from llmdemand.belief.extract import Extractor
from llmdemand.belief.tokens import Response, Token, shortened
from llmdemand.core.panel import Panel
from llmdemand.errors import UsageError

if TYPE_CHECKING:
    import pandas as pd

    from llmdemand.core.study import Study

__all__ = ["Candidate", "Inspected", "Piece", "inspected", "matcher", "sample"]

#: Answers that are shown at most, and what of each.
MOST = 60
_TOKENS = 150
_LISTED = 8
_SAME = 1e-6  # beliefs that differ by less are the same
_WORDS = re.compile(r"\s*\S+")


@dataclass(frozen=True)
class Candidate:
    """A token that could have stood at a position.

    Attributes
    ----------
    text : str
        The token.
    probability : float
        As the model reported it, before any change of temperature.
    alternative : str
        Id of the alternative that it would have settled; empty if none.
    """

    text: str
    probability: float
    alternative: str = ""


@dataclass(frozen=True)
class Piece:
    """A token of an answer; or a stretch of text, where tokens are not at hand.

    Attributes
    ----------
    text : str
        What it says.
    probability : float
        Of the realised token; NaN if unknown.
    candidates : tuple of Candidate
        The most probable ones listed at its position: all at the pivot, 8 elsewhere.
    """

    text: str
    probability: float = math.nan
    candidates: tuple[Candidate, ...] = ()


@dataclass(frozen=True)
class Inspected:
    """One answer, as the inspector shows it.

    Attributes
    ----------
    run_id : str
        The run.
    price : float
        Of the focal alternative.
    order : tuple of str
        Ids in the order in which the prompt named them.
    status : str
        One of `llmdemand.core.panel.STATUSES`.
    choice : str
        Id of the chosen alternative; empty if there is none.
    belief : tuple of (str, float, float, float)
        Id, belief and its bounds, by alternative; empty where there is no belief.
    masses : tuple of float
        Decided, undecided and unlisted probability at the pivot; empty without a pivot.
    pieces : tuple of Piece
        The answer.
    pivot : int
        Index of the pivot among `pieces`, -1 if there is none or it cannot be placed.
    pivot_token, pivot_index : str, int
        As the panel has them: the token, and its index among the answer's tokens.
    more : int
        Tokens that are not shown.
    tokens : bool
        Whether `pieces` are tokens.
    mismatch : bool
        Whether the answer goes on to say something else than its pivot.
    """

    run_id: str
    price: float
    order: tuple[str, ...]
    status: str
    choice: str
    belief: tuple[tuple[str, float, float, float], ...]
    masses: tuple[float, ...]
    pieces: tuple[Piece, ...]
    pivot: int
    pivot_token: str
    pivot_index: int
    more: int = 0
    tokens: bool = False
    mismatch: bool = False


def sample(panel: Panel, most: int = MOST, *, seed: int = 1) -> pd.DataFrame:
    """Rows of a panel for people to read: drawn at random within each price, equally many.

    Parameters
    ----------
    panel : Panel
        Any panel.
    most : int
        Rows at most. With more prices than that, some prices have none.
    seed : int
        Of the draw; the rows do not depend on their order in the panel.

    Returns
    -------
    pandas.DataFrame
        Rows of ``panel.frame``, by price, cell and replicate.

    Raises
    ------
    UsageError
        For a negative number.

    Examples
    --------
    >>> from llmdemand import load_study, simulate
    >>> panel = simulate(load_study("pampers"), "synthetic", runs=5, seed=1)
    >>> shown = sample(panel, 32)
    >>> set(shown["price_pampers"].value_counts())
    {2}
    """
    if most < 0 or seed < 0:
        raise UsageError(f"most={most}, seed={seed}: give numbers that are not negative")
    price = f"price_{panel.study.focal}"
    frame = panel.frame.sort_values(["cell", "replicate", "run_id"], kind="stable")
    mixed = frame.iloc[np.random.default_rng(seed).permutation(len(frame))]
    turn = mixed.groupby(price).cumcount()
    chosen = mixed.assign(_turn=turn).sort_values("_turn", kind="stable").head(most)
    return chosen.drop(columns="_turn").sort_values(
        [price, "cell", "replicate", "run_id"], kind="stable"
    )


def inspected(
    panel: Panel,
    responses: Mapping[str, Response] | None = None,
    *,
    most: int = MOST,
    seed: int = 1,
) -> tuple[Inspected, ...]:
    """Sampled answers with pivots, candidates and beliefs.

    Parameters
    ----------
    panel : Panel
        Any panel.
    responses : mapping of str to Response, optional
        Responses by run id. One is used if it is the panel's own, see `matcher`; of other
        runs the text is shown, with the pivot where it can only be.
    most, seed
        See `sample`.

    Returns
    -------
    tuple of Inspected

    Notes
    -----
    Beliefs and masses are the panel's. What a candidate would have settled is found by
    reading the answer up to it with the study's own extractor.

    Examples
    --------
    >>> from llmdemand import load_study, simulate
    >>> panel = simulate(load_study("pampers"), "synthetic", runs=1, seed=1)
    >>> first = inspected(panel)[0]
    >>> first.pieces[first.pivot].text == first.pivot_token
    True
    """
    study = panel.study
    extractor, fits = _extractor(study, 1.0), matcher(study)
    found = []
    for row in sample(panel, most, seed=seed).to_dict("records"):
        response = (responses or {}).get(row["run_id"])
        if response is not None and not fits(row, response):
            response = None
        found.append(_inspect(panel, row, response, extractor))
    return tuple(found)


def matcher(study: Study) -> Callable[[Mapping[Any, Any], Response], bool]:
    """A function that tells whether a response is that of a panel row.

    Runs of the same study under another seed have the same ids, and often the same
    text. A response fits if text, pivot and belief are the row's, with or without
    the sampling temperature; of models that think first and of answers that branch,
    whose belief is a mean, if text and pivot are.
    """
    drawn = study.sampling
    readers = [_extractor(study, t) for t in sorted({1.0, drawn.temperature or 1.0})]

    def fits(row: Mapping[Any, Any], response: Response) -> bool:
        if response.text != row["text"]:
            return False
        expected = [float(row[f"belief_{a}"]) for a in study.menu.ids]
        if drawn.thinking or drawn.branch or not all(map(math.isfinite, expected)):
            return True
        answer = shortened(response, drawn.top_logprobs)
        found = [read(answer).belief for read in readers]
        return any(np.allclose(belief, expected, rtol=0, atol=_SAME) for belief in found)

    return fits


def _extractor(study: Study, temperature: float) -> Extractor:
    return Extractor(
        study.menu,
        temperature=temperature,
        **study.reading,
    )


def _inspect(
    panel: Panel, row: Mapping[Any, Any], response: Response | None, extractor: Extractor
) -> Inspected:
    study = panel.study
    index = -1 if _missing(row["pivot_index"]) else int(row["pivot_index"])
    token = "" if _missing(row["pivot_token"]) else str(row["pivot_token"])
    text = "" if _missing(row["text"]) else str(row["text"])
    bounds = tuple(
        (a, float(row[f"belief_{a}"]), float(row[f"lo_{a}"]), float(row[f"hi_{a}"]))
        for a in study.menu.ids
    )
    masses = tuple(float(row[f"{kind}_mass"]) for kind in ("decided", "undecided", "tail"))
    known = _tokens_of(response, token, index, study.sampling.top_logprobs)
    pieces, pivot = (
        _pieces(known, index, extractor) if known else _stretches(text, token, extractor)
    )
    return Inspected(
        str(row["run_id"]),
        float(row[f"price_{study.focal}"]),
        tuple(str(row["order"]).split(">")),
        str(row["status"]),
        "" if _missing(row["choice"]) else str(row["choice"]),
        bounds if all(math.isfinite(b) for _, b, _, _ in bounds) else (),
        masses if all(map(math.isfinite, masses)) else (),
        pieces,
        pivot,
        token,
        index,
        len(known) - len(pieces) if known else 0,
        bool(known),
        not _missing(row["mismatch"]) and bool(row["mismatch"]),
    )


def _missing(value: Any) -> bool:
    import pandas as pd

    return bool(pd.isna(value))


def _tokens_of(response: Response | None, token: str, index: int, most: int) -> tuple[Token, ...]:
    """The tokens of a response, if the panel's pivot is among them."""
    if response is None or not response.tokens:
        return ()
    tokens = shortened(response, most).tokens
    if index >= 0 and (
        index >= len(tokens) or tokens[index].data.decode(errors="replace") != token
    ):
        return ()
    return tokens


def _pieces(
    tokens: tuple[Token, ...], index: int, extractor: Extractor
) -> tuple[tuple[Piece, ...], int]:
    shown = max(_TOKENS, index + 1)
    pieces = []
    for place, token in enumerate(tokens[:shown]):
        ranked = sorted(zip(token.candidates, token.logprobs, strict=True), key=lambda c: -c[1])
        if place == index:
            found = [_at_pivot(tokens[:index], c, v, extractor) for c, v in ranked]
        else:
            found = [Candidate(_shown(c), math.exp(v)) for c, v in ranked[:_LISTED]]
        pieces.append(Piece(_shown(token.data), math.exp(token.logprob), tuple(found)))
    return tuple(pieces), index


def _at_pivot(
    before: tuple[Token, ...], data: bytes, logprob: float, extractor: Extractor
) -> Candidate:
    """What a candidate at the pivot would have settled: the answer up to it, read again."""
    tokens = (*before, Token(data, logprob))
    text = b"".join([t.data for t in tokens]).decode(errors="replace")
    begun = Response(tokens, text, finish_reason="length")
    found = extractor(begun)
    settled = found.choice if found.pivot_index == len(before) else None
    return Candidate(_shown(data), math.exp(logprob), settled or "")


def _shown(data: bytes) -> str:
    """A token as text; bytes of a broken character as escapes."""
    return data.decode(errors="backslashreplace")


def _stretches(text: str, token: str, extractor: Extractor) -> tuple[tuple[Piece, ...], int]:
    """Text before, at and after the pivot; in one piece if the pivot cannot be placed.

    The pivot is the first occurrence of its token that settles the choice when the text
    before it is read word by word, as does the whole word that begins there.
    """
    place = text.find(token) if token else -1
    while place >= 0:
        before = _WORDS.findall(text[:place])
        word = _WORDS.match(text[place:])
        whole = token if word is None or len(word[0]) < len(token) else word[0]
        if all(_settles(before, part, text, extractor) for part in (token, whole)):
            parts = (text[:place], token, text[place + len(token) :])
            return tuple(Piece(p) for p in parts if p), 1 if place else 0
        place = text.find(token, place + 1)
    return (Piece(text),) if text else (), -1


def _settles(before: list[str], part: str, text: str, extractor: Extractor) -> bool:
    tokens = tuple(Token(word.encode(), 0.0) for word in (*before, part))
    return extractor(Response(tokens, text, "length")).pivot_index == len(before)
