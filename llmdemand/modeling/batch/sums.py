"""Sums per design point: all that many small fits need to know of their data."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from llmdemand.errors import DesignError, UsageError
from llmdemand.modeling.arrays import Array, Codes
from llmdemand.modeling.batch.newton import Design, numbers

__all__ = ["Read", "Sums"]

_CHUNK = 1 << 16  # elements of a (points x fits) working array: some of them fit in the cache


@dataclass(frozen=True)
class Read:
    """Of corrected beliefs b~, which may leave [0, 1], and of r, what each run of them sums to.

    Attributes
    ----------
    rows : (B, J) array, optional
        Observations; the sums of r by default.
    cross, squares : (B, J) arrays, optional
        Sums of ``b~ r`` and of ``r^2``, for robust standard errors.
    """

    rows: Any = None
    cross: Any = None
    squares: Any = None

    def each(self, change: Callable[[Array], Array]) -> Read:
        """The same of other arrays."""
        return Read(*(None if v is None else change(v) for v in vars(self).values()))


@dataclass(frozen=True)
class Sums:
    """The data of some fits."""

    n: Array  # (J, B), as are the next two
    total: Array
    squares: Array | None
    read: Read | None = None
    member: Array | None = None  # (G, J) one where a point is in a cluster
    parts: tuple[Array, Array] | None = None  # (B, G, J)

    @classmethod
    def of(
        cls,
        design: Design,
        n: Any,
        total: Any,
        squares: Any,
        read: Read | None,
        clusters: Any,
        cluster_sums: Any,
    ) -> Sums:
        """From what `fit_batch` was given; raises for what does not fit together."""
        n, total = numbers(n, "n"), numbers(total, "total")
        points = len(design.z)
        given = {"n": n, "total": total}
        if squares is not None:
            given["squares"] = squares = numbers(squares, "squares")
        if read is not None:
            if squares is not None and (read.cross is None or read.squares is None):
                raise UsageError(
                    "squares of corrected beliefs need their cross sums and the squares of what "
                    "was read: give read=Read(rows, cross, squares)"
                )
            given |= {f"read.{k}": numbers(v, k) for k, v in vars(read).items() if v is not None}
            read = Read(*(given.get(f"read.{f.name}") for f in fields(Read)))
        rows = len(n) if n.ndim == 2 else "fits"
        for name, array in given.items():
            if array.ndim != 2 or n.ndim != 2 or array.shape != (len(n), points):
                raise UsageError(
                    f"{name} has shape {array.shape}, expected ({rows}, {points}): one row per "
                    f"fit, one column for each of the {points} rows of x"
                )
        if clusters is not None and cluster_sums is not None:
            raise UsageError("clusters and cluster_sums are both given: choose one")
        member, parts = None, None
        if clusters is not None:
            labels = np.asarray(clusters)
            if labels.shape != (points,):
                raise UsageError(
                    f"clusters has shape {labels.shape}, expected ({points},): one label for "
                    "each row of x"
                )
            known, index = np.unique(labels, return_inverse=True)
            member = (np.arange(len(known))[:, None] == index).astype(float)
        if cluster_sums is not None:
            count, ones = (numbers(cluster_sums[k], "cluster_sums") for k in (0, 1))
            parts = count, ones
            shape = parts[0].shape
            if parts[1].shape != shape or len(shape) != 3 or shape[::2] != n.shape:
                raise UsageError(
                    f"cluster_sums have shapes {shape} and {parts[1].shape}, expected a pair of "
                    f"({len(n)}, clusters, {points})"
                )
        turned = None if read is None else read.each(lambda v: v.T)
        return cls(n.T, total.T, None if squares is None else squares.T, turned, member, parts)

    def chunks(self) -> Iterator[Sums]:
        """Parts that stay in the cache, checked; an empty batch is one part."""
        points, fits = self.n.shape
        wide = points
        if self.parts is not None:
            wide = max(wide, self.parts[0].shape[1] * points)
        if self.member is not None:
            wide = max(wide, len(self.member))
        size = max(1, _CHUNK // wide)
        for start in range(0, max(fits, 1), size):
            part = self.take(slice(start, start + size))
            part.check(start)
            yield part

    def take(self, which: slice | Codes) -> Sums:
        """Some of the fits."""
        return Sums(
            np.ascontiguousarray(self.n[:, which]),
            np.ascontiguousarray(self.total[:, which]),
            None if self.squares is None else np.ascontiguousarray(self.squares[:, which]),
            None if self.read is None else self.read.each(lambda v: v[:, which]),
            self.member,
            None if self.parts is None else (self.parts[0][which], self.parts[1][which]),
        )

    @property
    def rows(self) -> Array:
        """Observations at each point, whether they were read or not."""
        known = None if self.read is None else self.read.rows
        return self.n if known is None else known

    def check(self, start: int) -> None:
        """Raise for sums that no outcomes can have, by the number of the fit."""
        if not self.n.size:
            return
        if self.read is not None:
            self._check_finite(start)
            return
        _none_below(0.0, self.n, "n", "counts or weights are not negative", start)
        _none_below(0.0, self.total, "total", "it is a sum of outcomes in [0, 1]", start)
        _none_below(
            self.total, self.n, "n", "total, a sum of n outcomes in [0, 1], is not larger", start
        )
        if self.squares is not None:
            least = self.total**2 / np.where(self.n > 0, self.n, 1)
            what = "total^2 / n, the least that squares of n outcomes can add up to"
            _none_below(least, self.squares, "squares", what, start)
            what = "squares, of outcomes in [0, 1], are not larger"
            _none_below(self.squares, self.total, "total", what, start)
        if self.parts is not None:
            count, total = self.parts
            _none_below(0.0, count, "cluster_sums", "counts are not negative", start)
            for part, whole, name in ((count, self.n, "n"), (total, self.total, "total")):
                gap = np.abs(part.sum(axis=1).T - whole)
                if not (gap <= 1e-8 * (1 + whole)).all():
                    b = start + int(np.argmax((~(gap <= 1e-8 * (1 + whole))).any(axis=0)))
                    raise DesignError(
                        f"cluster_sums of fit {b} do not add up to its {name}: give every "
                        "observation to one cluster"
                    )

    def _check_finite(self, start: int) -> None:
        """Corrected beliefs may leave [0, 1]: no sum of them is impossible."""
        assert self.read is not None
        given = {"n": self.n, "total": self.total, "squares": self.squares}
        for name, values in (given | vars(self.read)).items():
            if values is not None and not np.isfinite(values).all():
                fit = start + int(np.argmax(~np.isfinite(values).all(axis=0)))
                raise DesignError(f"{name} of fit {fit} is not finite: mend or leave out that fit")


def _none_below(floor: Array | float, values: Array, name: str, why: str, start: int) -> None:
    # NaN passes neither test.
    if np.all(values >= floor) and values.max(initial=0.0) < np.inf:
        return
    # Sums of the same terms in another order differ by rounding.
    bad = ~(values - floor >= -1e-9 * np.abs(values)) | (values == np.inf)
    if not bad.any():
        return
    place = np.unravel_index(int(np.argmax(bad)), bad.shape)
    fit, point = (place[0], place[-1]) if bad.ndim == 3 else (place[1], place[0])
    found, least = values[place], np.broadcast_to(floor, values.shape)[place]
    raise DesignError(
        f"{name} is {found:g} in fit {start + fit} at design point {point}, expected a finite "
        f"number of at least {least:g} ({why}): mend or leave out that fit"
    )
