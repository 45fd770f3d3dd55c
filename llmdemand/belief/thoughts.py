"""Belief of a model that thinks before it answers: the mean over thoughts, and which were cut."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from llmdemand.belief.pivot.found import Belief
from llmdemand.belief.tokens import Response

__all__ = ["over_thoughts", "share_cut"]


def share_cut(response: Response, tags: tuple[str, str], *, opened: bool = False) -> float:
    """The share of a run's thoughts that reached the most tokens before they were closed.

    What follows a thought that was cut is another law than what follows one that was ended:
    such a run has no natural answer, and a forced one is the answer to half a thought.

    Parameters
    ----------
    response : Response
        With forced answers: each tells of its thought. Else the thought is in the text or in
        a field of its own.
    tags : (str, str)
        Between which the model thinks.
    opened : bool
        Whether the prompt opens the thought.

    Examples
    --------
    >>> share_cut(Response((), "<think>Pampers cost", "length"), ("<think>", "</think>"))
    1.0
    >>> share_cut(Response((), "<think>Hm.</think> Huggi", "length"), ("<think>", "</think>"))
    0.0
    """
    if response.forced:
        return sum(answer.cut for answer in response.forced) / len(response.forced)
    if response.finish_reason != "length":
        return 0.0
    opening, closing = tags
    text = response.text
    begun = text.rfind(opening)
    inside = begun >= 0 if closing not in text else begun > text.rfind(closing)
    alone = bool(response.thought) and not text.strip()
    return float(inside or alone or (opened and closing not in text))


def over_thoughts(beliefs: Sequence[Belief]) -> tuple[Belief, tuple[float, ...]]:
    """One run's belief from those after each of its thoughts.

    With thoughts t_1..t_K drawn from the model, E[b | prompt] is what plain answers
    would choose by, so the mean over thoughts is unbiased for it; its variance is
    the between-thought variance over K::

        b = mean_k b_k,   s2 = sum_k (b_k - b)**2 / (K - 1)

    Parameters
    ----------
    beliefs : sequence of Belief
        One per thought, at least one. The run's choice is that of the first, a
        single draw.

    Returns
    -------
    (Belief, tuple of float)
        The run's belief, with mean bounds and masses, and s2 per alternative (NaN
        for one thought). If any thought left no belief the run has none, with the
        status of the first such thought: leaving it out would select thoughts by
        what came of them.

    Examples
    --------
    >>> one = Belief("ok", "a", (0.8, 0.2), (0.8, 0.2), (0.8, 0.2))
    >>> two = replace(one, belief=(0.4, 0.6))
    >>> run, between = over_thoughts([one, two])
    >>> [round(b, 3) for b in run.belief], [round(v, 3) for v in between]
    ([0.6, 0.4], [0.08, 0.08])
    """
    first, nothing = beliefs[0], (math.nan,) * len(beliefs[0].belief)
    failed = next((b for b in beliefs if any(map(math.isnan, b.belief))), None)
    if failed is not None:
        return (
            replace(
                first,
                status=failed.status,
                belief=nothing,
                lower=nothing,
                upper=nothing,
                decided_mass=math.nan,
                undecided_mass=math.nan,
                tail_mass=math.nan,
            ),
            nothing,
        )
    mean = _mean([b.belief for b in beliefs])
    between = nothing
    if len(beliefs) > 1:
        between = tuple(
            math.fsum((b.belief[k] - m) ** 2 for b in beliefs) / (len(beliefs) - 1)
            for k, m in enumerate(mean)
        )
    masses = _mean([(b.decided_mass, b.undecided_mass, b.tail_mass) for b in beliefs])
    low = next((b.status for b in beliefs if b.status != "ok"), "ok")
    return (
        replace(
            first,
            status=low,
            belief=mean,
            lower=_mean([b.lower for b in beliefs]),
            upper=_mean([b.upper for b in beliefs]),
            decided_mass=masses[0],
            undecided_mass=masses[1],
            tail_mass=masses[2],
        ),
        between,
    )


def _mean(rows: Sequence[Sequence[float]]) -> tuple[float, ...]:
    return tuple(math.fsum(column) / len(rows) for column in zip(*rows, strict=True))
