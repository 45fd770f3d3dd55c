"""How runs were drawn before they were drawn from content: by the place of their cells.

Stores and files of answers that were written then are read by these rules.
"""

from __future__ import annotations

from bisect import bisect_left

from llmdemand.core.cell import Cell
from llmdemand.core.questionnaire.design import fraction, shuffled
from llmdemand.core.questionnaire.questionnaire import Questionnaire

__all__ = ["earlier_cells", "earlier_order"]


def earlier_cells(study: Questionnaire) -> tuple[Cell, ...]:
    """The cells that a study had: its fraction was drawn from the sizes of its factors."""
    if study.points is None:
        return study.cells()
    return tuple(map(study.full_cell, _kept(study)))


def earlier_order(study: Questionnaire, cell: Cell, replicate: int) -> tuple[str, ...] | None:
    """The option order that a run saw; None of a cell that the study did not have.

    >>> from llmdemand.core.study import load_study
    >>> study = load_study("pampers")
    >>> [earlier_order(study, study.cell(k), 0)[0] for k in (0, 1)]
    ['huggies', 'pampers']
    """
    if cell.order is not None:
        return cell.order
    orders = study.option_orders()
    m = len(orders)
    if m == 1:
        return orders[0]
    place = cell.index
    if study.points is not None:
        kept = _kept(study)
        place = bisect_left(kept, cell.index)
        if place == len(kept) or kept[place] != cell.index:
            return None
    group, member = divmod(place, m)
    block, turn = divmod(replicate, m)
    begin = shuffled(m, study.design_seed, "cells", group)[member]
    return orders[shuffled(m, study.design_seed, "block", block)[(begin + turn) % m]]


def _kept(study: Questionnaire) -> tuple[int, ...]:
    assert study.points is not None
    return fraction(study.sizes, study.points, study.design_seed)
