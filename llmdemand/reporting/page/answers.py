"""The belief inspector's part of the page: sampled answers as the template wants them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from llmdemand.core.panel import STATUSES
from llmdemand.core.shards.shards import AnyPanel, sampled
from llmdemand.reporting.page.inspector import Inspected, inspected
from llmdemand.reporting.simulator.script import scripted

if TYPE_CHECKING:
    from llmdemand.belief.tokens import Response
    from llmdemand.core.study import Study

__all__ = ["answers_of"]


def answers_of(panel: AnyPanel, responses: Mapping[str, Response] | None) -> dict[str, Any]:
    """Answers, filters and the tokens' candidates, for the template.

    Parameters
    ----------
    panel : Panel or PanelShards
        Any panel.
    responses : mapping of str to Response, optional
        See `llmdemand.reporting.page.inspector.inspected`.

    Returns
    -------
    dict
        ``answers, filters, tokens_json, shown``.
    """
    study, found = panel.study, inspected(sampled(panel), responses)
    known = [_tokens(answer) for answer in found]
    return {
        "answers": [_answer(study, answer) for answer in found],
        "filters": _filters(study, found),
        "tokens_json": scripted(known),
        "shown": {"intro": _intro(panel, found)},
    }


def _intro(panel: AnyPanel, found: tuple[Inspected, ...]) -> str:
    if not found:
        return "The panel has no answers."
    text = (
        f"{len(found)} of {len(panel):,} answers, drawn at random within each price (seed 1), as "
        "they were given. The pivot, the first token that settles the choice, is marked."
    )
    tokens = sum(answer.tokens for answer in found)
    if tokens:
        return text + (
            " Probabilities of tokens are those that the model reported, before any change of "
            "temperature; choose a token to see what else was listed at its place."
            + (f" Of {len(found) - tokens} there is the text alone." if tokens < len(found) else "")
        )
    return text + (
        " Tokens and their candidates are in the response store, which was not at hand when this "
        "page was made: what is shown is text, pivot and belief as the panel has them."
    )


def _answer(study: Study, answer: Inspected) -> dict[str, Any]:
    labels = {a.id: a.label for a in study.menu}
    shades = {a: f"k{k}" for k, a in enumerate(study.menu.ids)}
    pivot = answer.pieces[answer.pivot] if answer.pivot >= 0 else None
    return {
        "run_id": answer.run_id,
        "price": f"{answer.price:g}",
        "price_text": f"{labels[study.focal]} at {answer.price:g}",
        "order": ">".join(answer.order),
        "order_text": ", ".join(labels[a] for a in answer.order if a in labels),
        "status": answer.status,
        "meaning": STATUSES[answer.status],
        "choice": labels.get(answer.choice, ""),
        "chosen": answer.choice,
        "against": "yes" if _against(answer) else "no",
        "tokens": answer.tokens,
        "more": answer.more,
        "pieces": [
            {"text": piece.text, "pivot": k == answer.pivot}
            for k, piece in enumerate(answer.pieces)
        ],
        "pivot_text": _pivot_text(answer),
        "belief": [
            {
                "name": labels[a],
                "share": b,
                "text": f"{b:.3f}" + (f" ({lo:.3f} to {hi:.3f})" if hi - lo >= 0.0005 else ""),
            }
            for a, b, lo, hi in answer.belief
        ],
        "masses": "probability that decides {:.3f}, listed but undecided {:.3f}, not listed "
        "{:.3f}".format(*answer.masses)
        if answer.masses
        else "masses unknown",
        "candidates": [
            {
                "text": visible(c.text),
                "share": min(1.0, c.probability),
                "number": f"{c.probability:.4f}",
                "settles": labels.get(c.alternative, "nothing yet"),
                "kind": shades.get(c.alternative, ""),
            }
            for c in (pivot.candidates if pivot else ())
        ],
    }


def _against(answer: Inspected) -> bool:
    """Whether something else was chosen than what belief held most probable."""
    if not answer.belief or not answer.choice:
        return False
    most = max(b for _, b, _, _ in answer.belief)
    return all(b < most for a, b, _, _ in answer.belief if a == answer.choice)


def _pivot_text(answer: Inspected) -> str:
    if answer.pivot_index < 0:
        return ""
    text = f"pivot: {visible(answer.pivot_token)}, token {answer.pivot_index + 1}"
    if answer.pivot < 0:
        text += "; it cannot be placed in the text without the tokens"
    if answer.mismatch:
        text += "; the answer goes on to say something else"
    return text


def _filters(study: Study, found: tuple[Inspected, ...]) -> list[dict[str, Any]]:
    labels = {a.id: a.label for a in study.menu}
    prices = sorted({answer.price for answer in found})
    statuses = [s for s in STATUSES if any(answer.status == s for answer in found)]
    orders = sorted({answer.order for answer in found})
    return [
        {"key": "price", "name": "Price", "options": [(f"{p:g}", f"{p:g}") for p in prices]},
        {
            "key": "chosen",
            "name": "Choice",
            "options": [
                (a, labels[a]) for a in study.menu.ids if any(x.choice == a for x in found)
            ],
        },
        {
            "key": "against",
            "name": "Against its belief",
            "options": [
                (key, text)
                for key, text in (("yes", "yes, less probable"), ("no", "no"))
                if any(_against(x) == (key == "yes") for x in found)
            ],
        },
        {"key": "status", "name": "Status", "options": [(s, s) for s in statuses]},
        {
            "key": "order",
            "name": "Order",
            "options": [(">".join(o), ", ".join(labels.get(a, a) for a in o)) for o in orders],
        },
    ]


def _tokens(answer: Inspected) -> list[list[Any]] | None:
    """``[text, probability, [[candidate, probability], ...]]`` by token, for the script."""
    if not answer.tokens:
        return None
    return [
        [
            piece.text,
            None if math.isnan(piece.probability) else round(piece.probability, 4),
            [[c.text, round(c.probability, 4)] for c in piece.candidates[:8]],
        ]
        for piece in answer.pieces
    ]


def visible(token: str) -> str:
    r"""A token with its spaces and line breaks made visible.

    >>> visible(" P\n")
    '␣P\\n'
    """
    shown = token.replace("\\", "\\\\").replace("\n", "\\n").replace("\t", "\\t")
    return shown.replace("\r", "\\r").replace(" ", "\u2423")
