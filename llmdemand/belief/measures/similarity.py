"""Semantic similarity: from a free text to probabilities, by anchor statements."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from llmdemand.belief.measures.anchors import Anchors
from llmdemand.belief.measures.measured import THINKING, answered, said_nothing
from llmdemand.core.panel import WHOLE, Panel, columns
from llmdemand.core.study import Study
from llmdemand.errors import UsageError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Embed", "by_similarity", "similarities", "texts_of"]

Floats = NDArray[np.float64]
#: From N texts to N vectors, (N, D).
Embed = Callable[[list[str]], Any]

# Similarities this close are one: what is left of their difference is rounding.
_SAME = 1e-9


def similarities(
    texts: Floats, anchors: Floats, *, epsilon: float = 0.0, temperature: float = 1.0
) -> Floats:
    """Probabilities of alternatives from embeddings of texts and of anchor statements.

    With g_ma = (1 + cos(text, anchor of alternative a in set m)) / 2, and l_m the alternative of
    the lowest g in set m::

        p_ma = (g_ma - g_ml + epsilon [a = l_m]) / (sum_c g_mc - A g_ml + epsilon)
        p_a  ~ (mean_m p_ma)^(1 / temperature)

    Parameters
    ----------
    texts : (N, D) array
        One row per text.
    anchors : (M, A, D) array
        M sets of one statement per alternative.
    epsilon : float
        What the least similar alternative is given, of similarities from 0 to 1; at 0 it has
        probability 0 in each set.
    temperature : float
        Above 1 the probabilities are flatter, below 1 sharper.

    Returns
    -------
    (N, A) array
        Rows sum to 1; NaN where a text is equally similar to all anchors of a set.

    Raises
    ------
    UsageError
        For a negative `epsilon` or a `temperature` that is not positive.

    Notes
    -----
    Semantic similarity rating of Maier et al. (arXiv 2510.08338), there for the points of a
    Likert scale. With ``epsilon = 0`` scaling the cosine to [0, 1] changes nothing.

    Examples
    --------
    >>> anchors = np.array([[[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]]])
    >>> similarities(np.array([[1.0, 1.0]]), anchors).round(3).tolist()
    [[0.5, 0.5, 0.0]]
    """
    if not epsilon >= 0 or not np.isfinite(epsilon):
        raise UsageError(f"epsilon={epsilon}: give a number from 0")
    if not temperature > 0 or not np.isfinite(temperature):
        raise UsageError(
            f"temperature={temperature}: give a positive number (the alternative that is most "
            "similar alone is a choice, not a probability)"
        )
    with np.errstate(invalid="ignore", divide="ignore"):
        unit = texts / np.linalg.norm(texts, axis=-1, keepdims=True)
        target = anchors / np.linalg.norm(anchors, axis=-1, keepdims=True)
        g = (1 + np.einsum("nd,mad->nma", unit, target)) / 2
        low = g.min(axis=2, keepdims=True)
        excess = g - low
        at_low = np.arange(g.shape[2]) == g.argmin(axis=2)[..., None]
        p = (excess + epsilon * at_low) / (excess.sum(axis=2, keepdims=True) + epsilon)
        p = np.where(excess.max(axis=2, keepdims=True) < _SAME, np.nan, p).mean(axis=1)
        if temperature != 1:
            p = (p / p.max(axis=1, keepdims=True)) ** (1 / temperature)
        found: Floats = p / p.sum(axis=1, keepdims=True)
    return found


def texts_of(panel: Panel) -> pd.Series[str]:
    """The text of each run, without thoughts; empty where nothing was said.

    Raises
    ------
    UsageError
        If the panel is of stated probabilities, or answers were stopped at their pivot.
    """
    study, frame = panel.study, panel.frame
    if study.measure == "stated":
        raise UsageError(
            "the answers of this panel state percentages, which resemble no statement of a choice: "
            "ask the study with another measure (similarity, choice or logprob)"
        )
    if stopped := int((frame["final_status"] == "stopped").sum()):
        raise UsageError(
            f"{stopped} of {len(frame)} answers were stopped at their pivot, so that there is no "
            "text to be compared: ask whole answers (`--whole 1`)"
        )
    tags = study.thinking if study.thinking else THINKING
    said = (
        frame["text"]
        .fillna("")
        .map(lambda text: (answered(text, (tags[0], tags[1]), study.thinking_open) or "").strip())
    )
    return said.where(~frame["status"].map(said_nothing), "")


def by_similarity(
    panel: Panel,
    embed: Embed,
    anchors: Anchors | Mapping[str, Sequence[str] | str] | Sequence[str] | None = None,
    *,
    epsilon: float = 0.0,
    temperature: float = 1.0,
) -> Panel:
    """The same runs with probabilities by the similarity of their texts to anchor statements.

    For models without log-probabilities. What comes out is how much a text sounds like each
    statement by one embedding: no belief of the model that wrote it, and named ``similarity``
    wherever it is shown. `check_coherence` compares it with the choices of the same texts.

    Parameters
    ----------
    panel : Panel
        Whole answers in words; log-probabilities, if there are any, are not looked at.
    embed : callable
        From a list of N texts to an (N, D) array: `LocalEmbedder`, `ServerEmbedder`, or a function.
        Called once for the statements and once for the different texts.
    anchors : Anchors, mapping or sequence of str, optional
        Statements by alternative, or templates with ``{label}``: see `Anchors.of`.
    epsilon, temperature : float
        See `similarities`.

    Returns
    -------
    Panel
        Of measure ``similarity``; choice is that of the whole text, missing where none is read.
        Runs that said nothing keep their status; those that are equally similar to all statements
        of a set are ``indistinct``. The provenance holds embedder, statements and both numbers.

    Raises
    ------
    UsageError
        For panels without texts (`texts_of`), impossible anchors or options, and an embedding
        that is not one finite vector per text.

    Examples
    --------
    >>> import llmdemand as ld
    >>> panel = ld.simulate(ld.load_study("pampers"), "synthetic", runs=2, seed=1)
    >>> letters = lambda texts: [[t.lower().count(c) for c in "abcdefghimnprstu"] for t in texts]
    >>> found = by_similarity(panel, letters)
    >>> found.measure, int(found.statuses["ok"])
    ('similarity', 32)
    """
    import pandas as pd

    if not callable(embed):
        raise UsageError(
            f"embed={embed!r}: give a function from texts to vectors, such as LocalEmbedder() or "
            "ServerEmbedder(model)"
        )
    menu = panel.study.menu
    found = anchors if isinstance(anchors, Anchors) else Anchors.of(menu, anchors)
    if tuple(found.statements) != menu.ids:
        raise UsageError(
            f"the anchors are for {', '.join(found.statements)}, the panel's menu is "
            f"{', '.join(menu.ids)}: make them with Anchors.of(panel.study.menu)"
        )
    said = texts_of(panel)
    different = sorted(set(said) - {""})
    together = [s for some in zip(*found.statements.values(), strict=True) for s in some]
    fixed = _embedded(embed, together)
    if (np.linalg.norm(fixed, axis=1) == 0).any():
        raise UsageError("embed gives an anchor statement the zero vector: use another embedding")
    targets = fixed.reshape(found.sets, len(menu), -1)
    vectors = _embedded(embed, different, fixed.shape[1])
    by_text = similarities(vectors, targets, epsilon=epsilon, temperature=temperature)
    where = pd.Index(different).get_indexer(pd.Index(said))
    belief = np.full((len(said), len(menu)), np.nan)
    belief[where >= 0] = by_text[where[where >= 0]]
    study = _measuring(panel.study)
    how = {
        "embedder": str(getattr(embed, "name", getattr(embed, "__qualname__", type(embed)))),
        "anchors": {name: list(some) for name, some in found.statements.items()},
        "epsilon": epsilon,
        "temperature": temperature,
    }
    provenance = {**panel.provenance, "measure": "similarity", "similarity": how}
    return Panel(_frame(panel, study, said, belief), study, provenance)


def _measuring(study: Study) -> Study:
    """The study of the result: what is about log-probabilities alone is gone from it."""
    sampling = replace(study.sampling, branch=False, thinking=None)
    return replace(study, measure="similarity", sampling=sampling)


def _frame(panel: Panel, study: Study, said: pd.Series[str], belief: Floats) -> pd.DataFrame:
    import pandas as pd

    frame, ids = panel.frame, study.menu.ids
    known = np.isfinite(belief).all(axis=1)
    silent = frame["status"].map(said_nothing).to_numpy(bool)
    status = np.where(known, "ok", np.where(said == "", "no_output", "indistinct"))
    nothing = float("nan")
    new: dict[str, Any] = {
        "status": np.where(silent, frame["status"], status),
        "choice": frame["final_choice"].where(~silent),
        **{f"belief_{a}": belief[:, k] for k, a in enumerate(ids)},
        **{f"{bound}_{a}": nothing for bound in ("lo", "hi") for a in ids},
        **dict.fromkeys(("decided_mass", "undecided_mass", "tail_mass"), nothing),
        "pivot_index": -1,
        "pivot_token": "",
        "pivot_listed": pd.array([pd.NA] * len(frame), dtype="boolean"),
        "mismatch": pd.array([pd.NA] * len(frame), dtype="boolean"),
        "later_names": "",
        "reason": "",
        "measure": "similarity",
    }
    kept = [c for c in columns(study) if c in frame.columns or c in new]
    extra = [c for c in ("label", "label_probability") if c in frame.columns]
    assert WHOLE not in kept
    return frame.assign(**new)[[*kept, *extra]]


def _embedded(embed: Embed, texts: list[str], width: int | None = None) -> Floats:
    """Vectors of texts, one finite row for each."""
    if not texts:
        return np.empty((0, width or 0))
    try:
        found = np.asarray(embed(list(texts)), np.float64)
    except (TypeError, ValueError) as error:
        raise UsageError(f"embed did not give vectors of numbers of one length: {error}") from None
    if found.ndim != 2 or len(found) != len(texts) or not found.shape[1]:
        raise UsageError(
            f"embed gave an array of shape {found.shape} for {len(texts)} texts: one vector for "
            "each is wanted"
        )
    if width is not None and found.shape[1] != width:
        raise UsageError(
            f"embed gave vectors of {found.shape[1]} numbers for texts and {width} for statements: "
            "one embedding is wanted for both"
        )
    bad = ~np.isfinite(found).all(axis=1)
    if bad.any():
        raise UsageError(
            f"embed gave no finite vector for {int(bad.sum())} texts, the first "
            f"{texts[int(bad.argmax())][:60]!r}"
        )
    return found
