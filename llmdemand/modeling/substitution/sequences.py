"""Sequences of choices: those observed, or those drawn from beliefs."""

from __future__ import annotations

import numpy as np

from llmdemand.modeling.arrays import Array, Codes
from llmdemand.modeling.substitution.panels import Panels

__all__ = ["observed_sequences", "sequences_of_beliefs"]


def observed_sequences(panels: Panels) -> tuple[Array, ...]:
    """The one sequence of choices that each respondent made, block by block, (n, 1, T * J)."""
    y = panels.cases.y
    return tuple(np.where(block.rows >= 0, y[block.rows], 0.0)[:, None] for block in panels.blocks)


def sequences_of_beliefs(
    panels: Panels, size: int, seed: int = 1, ranks: Codes | None = None
) -> tuple[Array, ...]:
    """Sequences of choices drawn from beliefs, block by block, (n, M, T * J) of 0 and 1.

    The product of the beliefs of separate calls is the probability of the sequence: ``E[prod_t
    b_(t, a_t)] = P(a_1, ..., a_T)``, so that ``sum_a (prod_t b_(t, a_t)) log P_theta(a)`` has an
    unbiased score. Drawn here are M sequences of each respondent with these probabilities. They
    are stratified: of the M draws of a situation one falls into each M-th of the unit interval,
    in an order of its own, so that frequencies differ from the beliefs by less than one draw.

    Parameters
    ----------
    panels : Panels
        With outcomes in [0, 1] that sum to one in each situation.
    size : int
        M.
    seed : int
        Respondent i is drawn by ``numpy.random.default_rng((seed, i))``.
    ranks : (I,) int array, optional
        What i is of each respondent, where others are elsewhere.

    Examples
    --------
    >>> from llmdemand.modeling.likelihood.cases import Cases
    >>> y = np.array([0.25, 0.75, 0.5, 0.5])
    >>> one = np.ones(2)
    >>> cases = Cases(np.zeros((4, 1)), y, np.array([0, 2]), one, one)
    >>> drawn = sequences_of_beliefs(Panels(cases, np.array([0, 0])), 4)[0]
    >>> drawn.shape, drawn.mean(axis=1).tolist()
    ((1, 4, 4), [[0.25, 0.75, 0.5, 0.5]])
    """
    y = panels.cases.y
    ranks = np.arange(panels.people) if ranks is None else ranks
    found = []
    for block in panels.blocks:
        beliefs = np.where(block.rows >= 0, y[block.rows], 0.0)
        beliefs = beliefs.reshape(len(block.who), block.tasks, -1)
        # The last edge is one, whatever rounding made of the sum.
        edges = np.cumsum(beliefs, axis=-1)[..., :-1]
        last = beliefs.shape[-1] - 1 - np.argmax(beliefs[..., ::-1] > 0, axis=-1)
        drawn = np.zeros((len(block.who), size, block.tasks, beliefs.shape[-1]))
        for n, person in enumerate(block.who):
            rng = np.random.default_rng((seed, int(ranks[person])))
            cell = np.tile(np.arange(size, dtype=np.float64), (block.tasks, 1))
            u = (rng.permuted(cell, axis=1) + rng.random((block.tasks, size))) / size
            choice = (u[:, :, None] >= edges[n][:, None, :]).sum(axis=-1)  # (T, M)
            choice = np.minimum(choice, last[n][:, None])
            task, m = np.indices(choice.shape)
            drawn[n, m, task, choice] = 1.0
        found.append(drawn.reshape(len(block.who), size, -1))
    return tuple(found)
