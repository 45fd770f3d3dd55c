"""Whether there are enough answers of either kind, and enough units, for intervals to hold."""

from __future__ import annotations

import numpy as np

from llmdemand.calibration.moments.moments import Moments

__all__ = ["FEWEST", "few_clusters", "rare"]

#: Answers of the rarer kind below which normal and t laws are a hope.
FEWEST = 10


def few_clusters(n: int, size: float) -> str:
    """What a result from few clusters, or very unequal weights, has to say.

    >>> few_clusters(200, 11.6)[:38]
    'errors of 200 humans rest on 11.6 inde'
    """
    return (
        f"errors of {n} humans rest on {size:.3g} independent units (clusters, or weights that "
        "differ): intervals use t laws of about as many, which is a hope below 40"
    )


def rare(moments: Moments) -> tuple[str, ...]:
    """What has to be said of outcomes that hardly occur, or do not vary where they are looked at.

    An interval by t laws needs a dozen answers of either kind (of each alternative, in choice
    sets); and where all humans of a cell answered alike their spread there is taken for zero.
    """
    pairs = moments.pairs
    y = pairs.humans.y
    assert y is not None
    if pairs.outside:
        counts = {f"{pairs.outcome} 1": float(y.sum()), f"{pairs.outcome} 0": float((1 - y).sum())}
    else:
        sizes = np.diff(np.append(pairs.humans.start, len(y)))
        place = np.arange(len(y)) - np.repeat(pairs.humans.start, sizes)
        names = [f"alternative {k + 1}" for k in range(int(place.max()) + 1)]
        counts = dict(zip(names, np.bincount(place, y).tolist(), strict=True))
    least = min(counts, key=lambda name: counts[name])
    said = []
    if counts[least] < FEWEST:
        said.append(
            f"{least} is {counts[least]:.3g} of {len(pairs.humans.cell):,} human answers: "
            f"intervals by t laws are a hope below {FEWEST}; ask more people, or where the choice "
            "is less one-sided"
        )
    if not moments.sampled and pairs.outside:
        mean = moments.means(pairs.humans, y)
        alike = int(((mean <= 0) | (mean >= 1)).sum())
        if 2 * alike > len(mean) or (alike and counts[least] < FEWEST):
            said.append(
                f"in {alike} of {len(mean)} cells all humans answered alike: their spread there "
                "counts as zero, and standard errors are too small by what it is"
            )
    return tuple(said)
