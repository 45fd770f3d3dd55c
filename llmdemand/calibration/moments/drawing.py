"""Bootstrap samples of one side."""

from __future__ import annotations

import numpy as np

from llmdemand.calibration.samples.samples import Sample
from llmdemand.modeling.arrays import Codes

__all__ = ["drawn"]


def drawn(side: Sample, rng: np.random.Generator) -> Sample:
    """A bootstrap sample of respondents, each drawn one a respondent of its own."""
    order = np.argsort(side.respondent, kind="stable")
    counts = np.bincount(side.respondent, minlength=side.respondents)
    begin = np.cumsum(counts) - counts
    who = rng.integers(side.respondents, size=side.respondents)
    cases = order[_ranges(begin[who], counts[who])]
    sizes = np.diff(np.append(side.start, len(side.f)))
    rows = _ranges(side.start[cases], sizes[cases])
    new = sizes[cases]
    return Sample(
        np.repeat(np.arange(side.respondents), counts[who]),
        side.cell[cases],
        (np.cumsum(new) - new).astype(np.intp),
        side.f[rows],
        side.respondents,
        side.first[cases],
        None if side.y is None else side.y[rows],
    )


def _ranges(begin: Codes, size: Codes) -> Codes:
    """``begin[0], begin[0] + 1, ...`` for each range, one after the other."""
    shift = np.repeat(begin - np.concatenate([[0], np.cumsum(size)[:-1]]), size)
    return np.asarray(np.arange(int(size.sum())) + shift, np.intp)
