"""Tasks drawn at random, or so that levels are balanced and overlap little."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from llmdemand.core.experiment.space import Space, Task
from llmdemand.errors import StudyError

if TYPE_CHECKING:
    import numpy as np

__all__ = ["balanced", "blocked", "draw", "generator", "random_overlap", "repeats"]

_TRIES = 2000  # rejections of a profile before a way around the barred pairs is searched
_AGAIN = 200  # redraws of a task that was there before
_LISTED = 20_000  # tasks that are listed to find the last ones
_ROUNDS = 20


def generator(*key: int) -> np.random.PCG64:
    """Raw random numbers of a key, which never change from version to version of numpy."""
    import numpy as np

    return np.random.PCG64(np.random.SeedSequence(list(key)))


def draw(space: Space, bits: np.random.PCG64, taken: Iterable[object] = ()) -> Task:
    """A random task: profiles are drawn evenly from those that are allowed.

    It differs from those `taken` (by `Space.same`).

    Raises
    ------
    StudyError
        If the barred levels leave an alternative no profile, or no other task is found.
    """
    known = set(taken)
    for _ in range(_AGAIN):
        task = _drawn(space, bits)
        if space.distinct(task) and space.same(task) not in known:
            return task
    left: list[Task] = []
    if space.size <= _LISTED:  # what chance does not find, a list does
        every = itertools.product(*(range(len(slot.levels)) for slot in space.slots))
        left = [
            t
            for t in every
            if space.allowed(t) and space.distinct(t) and space.same(t) not in known
        ]
    if not left:
        raise StudyError(
            f"{len(known)} different tasks were found, and no further one: ask fewer tasks and "
            "holdouts, prohibit less, or give attributes more levels"
        )
    return left[int(bits.random_raw() % len(left))]


def _drawn(space: Space, bits: np.random.PCG64) -> Task:
    task = [0] * len(space.slots)
    for a in space.priced:
        places = space.places(a)
        for _ in range(_TRIES if space.barred.get(a) else 1):
            for k in places:
                task[k] = int(bits.random_raw() % len(space.slots[k].levels))
            if space.allowed(task, a):
                break
        else:
            if not _found_way(space, task, a, places):
                raise StudyError(
                    f"prohibited pairs leave the alternative {a!r} no profile: remove one"
                )
    return tuple(task)


def _found_way(space: Space, task: list[int], a: str, places: Sequence[int]) -> bool:
    """Fill the slots that rules name with levels that are allowed together, if there are any."""
    named = [k for k in places if any(k in rule for rule in space.barred[a])]

    def fill(depth: int) -> bool:
        if depth == len(named):
            return space.allowed(task, a)
        ahead = set(named[depth + 1 :])
        for level in range(len(space.slots[named[depth]].levels)):
            task[named[depth]] = level
            closed = any(
                not ahead & set(rule) and all(task[k] in levels for k, levels in rule.items())
                for rule in space.barred[a]
            )
            if not closed and fill(depth + 1):
                return True
        return False

    return fill(0)


def repeats(space: Space, task: Sequence[int]) -> int:
    """How many levels of a task were shown by an alternative before it, over all attributes."""
    shown: dict[str, list[object]] = {}
    for slot, level in zip(space.slots, task, strict=True):
        shown.setdefault(slot.factor, []).append(slot.levels[level])
    return sum(len(values) - len(set(values)) for values in shown.values())


def random_overlap(space: Space) -> float:
    """`repeats` of a task that is drawn at random, on average (barred pairs left aside).

    >>> from llmdemand.core.experiment.attributes import Attribute
    >>> from llmdemand.core.menu import Menu
    >>> size = Attribute("size", ("small", "large"))
    >>> random_overlap(Space.of(Menu.of("A", "B"), {"a": (1.0,), "b": (2.0,)}, [size]))
    0.5
    """
    expected = 0.0
    for factor in dict.fromkeys(s.factor for s in space.slots):
        grids = [s.levels for s in space.slots if s.factor == factor]
        for value in {v for grid in grids for v in grid}:
            never, mean = 1.0, 0.0
            for grid in grids:
                chance = grid.count(value) / len(grid)
                never, mean = never * (1 - chance), mean + chance
            expected += mean - (1 - never)
    return expected


def balanced(
    space: Space,
    count: int,
    seed: int,
    earlier: Sequence[Task] = (),
    overlap: float = 0.0,
    apart: Sequence[Task] = (),
) -> list[Task]:
    """Tasks one after the other, each from what was shown least so far.

    The next task minimises the number of times that its levels, and its pairs of levels within
    an alternative, were shown before, and how far overlap is from what is aimed at. Counts are
    whole numbers, so that no rounding decides; a longer design begins with the shorter one.

    Parameters
    ----------
    space : Space
        The tasks that there are.
    count : int
        How many more.
    seed : int
        At least 0.
    earlier : sequence of Task
        Those before, which are counted and not repeated.
    overlap : float
        Aim: share of the overlap of random tasks. 0 is the least that the levels allow, ``1/2``
        the balanced overlap of Sawtooth Software.
    apart : sequence of Task
        Tasks that are not to be repeated either.

    Returns
    -------
    list of Task
    """
    tally = _Tally(space, overlap * random_overlap(space))
    for task in earlier:
        tally.add(task)
    found: list[Task] = []
    taken = {space.same(t) for t in (*earlier, *apart)}
    for _ in range(count):
        # A start of its own for each place, so that nothing hangs on how many there will be.
        bits = generator(seed, 1, len(earlier) + len(found))
        task = _improved(space, tally, draw(space, bits, taken), bits, taken)
        tally.add(task)
        taken.add(space.same(task))
        found.append(task)
    return found


class _Tally:
    """How often levels and pairs of levels were shown."""

    def __init__(self, space: Space, aim: float) -> None:
        self._space, self._aim = space, aim
        self._ones: dict[tuple[object, ...], int] = {}
        self._twos: dict[tuple[object, ...], int] = {}
        self._overlap, self._tasks = 0, 0
        self._groups = [(a, space.places(a)) for a in space.priced]
        # Without names alternatives are counted together.
        self._name = {a: a if space.labelled else "" for a in space.priced}

    def add(self, task: Sequence[int]) -> None:
        for key in self._single(task):
            self._ones[key] = self._ones.get(key, 0) + 1
        for key in self._double(task):
            self._twos[key] = self._twos.get(key, 0) + 1
        self._overlap += repeats(self._space, task)
        self._tasks += 1

    def score(self, task: Sequence[int]) -> tuple[int, int]:
        """Distance of overlap from its aim in whole repeats, then what was shown already."""
        aimed = self._aim * (self._tasks + 1)
        off = int(abs(self._overlap + repeats(self._space, task) - aimed) + 0.5)
        ones = sum(self._ones.get(key, 0) for key in self._single(task))
        twos = sum(self._twos.get(key, 0) for key in self._double(task))
        return off, 6 * ones + twos

    def _single(self, task: Sequence[int]) -> Iterable[tuple[object, ...]]:
        for a, places in self._groups:
            for at, k in enumerate(places):
                yield self._name[a], at, task[k]

    def _double(self, task: Sequence[int]) -> Iterable[tuple[object, ...]]:
        for a, places in self._groups:
            for i, k in enumerate(places):
                for j, m in enumerate(places[:i]):
                    yield self._name[a], i, task[k], j, task[m]


def _improved(
    space: Space, tally: _Tally, task: Task, bits: np.random.PCG64, taken: set[tuple[object, ...]]
) -> Task:
    """The task after changes of one level, or exchanges of two, while they lower the score."""
    best = tally.score(task)
    for _ in range(_ROUNDS):
        before = best
        for k, slot in enumerate(space.slots):
            levels = len(slot.levels)
            turn = int(bits.random_raw() % levels)  # ties fall to any level, not to the first
            for step in range(levels):
                for other in _moves(space, task, k, (turn + step) % levels):
                    score = tally.score(other)
                    if (
                        score < best
                        and space.allowed(other)
                        and space.distinct(other)
                        and space.same(other) not in taken
                    ):
                        best, task = score, other
        if best == before:
            break
    return task


def _moves(space: Space, task: Task, k: int, level: int) -> Iterator[Task]:
    """The task with another level in a slot; and with whoever shows that level given the old one.

    Where levels do not overlap, no single change is better: they change places.
    """
    if level == task[k]:
        return
    moved = (*task[:k], level, *task[k + 1 :])
    yield moved
    slot = space.slots[k]
    for m, other in enumerate(space.slots):
        shown = m != k and other.factor == slot.factor
        if shown and other.levels[task[m]] == slot.levels[level]:
            old = slot.levels[task[k]]
            if old in other.levels:
                yield (*moved[:m], other.levels.index(old), *moved[m + 1 :])


def blocked(space: Space, stages: Sequence[Sequence[Task]], blocks: int, seed: int) -> list[int]:
    """A block for every task, such that each block shows levels about equally often.

    Tasks of a later stage leave the blocks of earlier ones as they are. In each stage blocks
    differ by one task at most.
    """
    counts: list[dict[tuple[int, int], int]] = [{} for _ in range(blocks)]
    found: list[int] = []
    for stage, tasks in enumerate(stages):
        bits = generator(seed, 3, stage)
        left = list(range(len(tasks)))
        chosen = [0] * len(tasks)
        for turn in range(len(tasks)):
            block = turn % blocks
            begin = int(bits.random_raw() % len(left))
            order = left[begin:] + left[:begin]
            cost = [
                sum(2 * counts[block].get(key, 0) + 1 for key in enumerate(tasks[t])) for t in order
            ]
            taken = order[cost.index(min(cost))]
            left.remove(taken)
            chosen[taken] = block
            for key in enumerate(tasks[taken]):
                counts[block][key] = counts[block].get(key, 0) + 1
        found += chosen
    return found
