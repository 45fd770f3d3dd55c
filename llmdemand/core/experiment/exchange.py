"""D-efficient designs by coordinate exchange."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from llmdemand.core.experiment.coding import Coding
from llmdemand.core.experiment.efficiency import d_error, information, weighted
from llmdemand.core.experiment.space import Space, Task
from llmdemand.core.experiment.tasks import draw, generator
from llmdemand.errors import StudyError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Array = npt.NDArray[np.float64]

__all__ = ["efficient"]

# Gains below this share are ties: rounding must not choose between equal designs.
_GAIN = 1e-7
_PASSES = 50
_STARTS = 10
_WORK = 2500  # tasks times levels that are tried in one pass over a design, all starts together
_RIDGE = 1e-3


def efficient(
    space: Space,
    code: Coding,
    beta: Array,
    count: int,
    seed: int,
    earlier: Sequence[Task] = (),
    apart: Sequence[Task] = (),
    starts: int | None = None,
) -> list[Task]:
    """Tasks with a small D-error at a prior.

    Coordinate exchange (Meyer & Nachtsheim 1995; Kessels et al. 2009): each task in turn changes
    the one level with which the D-error falls most, until none gains. The best of several starts;
    of equal ones the first, so that no rounding chooses. Levels that are barred never meet, no
    task is there twice, and tasks `earlier` stay as they are and are counted.

    Parameters
    ----------
    space, code : Space, Coding
        The tasks and their regressors.
    beta : (R, K) array
        The prior: see `coding.prior_draws`.
    count : int
        How many tasks to add.
    seed : int
        Of the starts.
    earlier, apart : sequence of Task
        Tasks that are asked too; and others that must not be repeated.
    starts : int, optional
        How many; by default 10, and fewer where tasks are many and large.

    Returns
    -------
    list of Task

    Raises
    ------
    StudyError
        If so few tasks cannot tell all coefficients.
    """
    best: list[Task] = []
    least = float("inf")
    candidates = count * sum(len(slot.levels) for slot in space.slots)
    for start in range(starts or max(1, min(_STARTS, _WORK // candidates))):
        tasks = _start(space, count, seed, start, (*earlier, *apart))
        search = _Search(space, code, beta, tasks, earlier, apart)
        search.run()
        found = d_error(information(code.x([*earlier, *search.tasks]), beta))
        if found < least * (1 - _GAIN) or not best:
            best, least = search.tasks, found
    if least == float("inf"):
        raise StudyError(_untold(code, beta, [*earlier, *best]))
    return best


def _untold(code: Coding, beta: Array, tasks: Sequence[Task]) -> str:
    """Why a design does not tell all coefficients, and what to do."""
    x = code.x(tasks)
    count, others, k = len(tasks), x.shape[1] - 1, len(code.terms)
    said = f"{count} tasks cannot tell {k} coefficients ({', '.join(code.terms)}): "
    if count * others < k:
        return f"{said}ask {-(-k // others)} at least, better twice as many"
    if d_error(information(x, 0 * beta[:1])) < float("inf"):
        return (
            f"{said}at conjoint.prior nearly every answer is certain, and tells nothing; give "
            "smaller utilities (they are log-odds: a difference of 5 is 99 to 1)"
        )
    return (
        f"{said}some levels always come together; prohibit less, ask more tasks, or give "
        "attributes fewer levels"
    )


def _start(space: Space, count: int, seed: int, start: int, others: Sequence[Task]) -> list[Task]:
    """Random tasks, none twice."""
    bits = generator(seed, 5, start, len(others))
    found: list[Task] = []
    taken = {space.same(t) for t in others}
    for _ in range(count):
        found.append(draw(space, bits, taken))
        taken.add(space.same(found[-1]))
    return found


class _Search:
    """One descent."""

    def __init__(
        self,
        space: Space,
        code: Coding,
        beta: Array,
        tasks: Sequence[Task],
        earlier: Sequence[Task],
        apart: Sequence[Task],
    ) -> None:
        self.space, self.code, self.beta = space, code, beta
        self.tasks = list(tasks)
        self._earlier = list(earlier)
        self._taken = Counter(space.same(t) for t in (*tasks, *earlier, *apart))
        self._ridge = 0.0

    def run(self) -> None:
        """Exchange until nothing gains; a start that tells too little goes with a ridge first."""
        if d_error(self._information()) == float("inf"):
            self._ridge = _RIDGE
            self._descend()
            self._ridge = 0.0
            if d_error(self._information()) == float("inf"):
                return
        self._descend()

    def _information(self) -> Array:
        import numpy as np

        found = information(self.code.x([*self._earlier, *self.tasks]), self.beta)
        return np.asarray(found + self._ridge * np.eye(found.shape[-1]))

    def _descend(self) -> None:
        self._refresh(self._information())
        for _ in range(_PASSES):
            gained = False
            for n in range(len(self.tasks)):
                while self._exchange(n):
                    gained = True
            if not gained:
                return
            # What updates have left behind in rounding goes.
            self._refresh(self._information())

    def _refresh(self, found: Array) -> None:
        import numpy as np

        self._found, self._inverse = found, np.linalg.inv(found)
        log = np.linalg.slogdet(found)[1] / found.shape[-1]
        self._weights = np.exp(-(log - log.min()))  # of the draws, in the mean of D-errors

    def _exchange(self, n: int) -> bool:
        """Give one slot of a task the level with which it tells most; whether any tells more."""
        import numpy as np

        task = self.tasks[n]
        fit = [t for t in self._neighbours(task) if self._fits(t)]
        if not fit:
            return False
        z = weighted(self.code.x([task, *fit]), self.beta)  # (1 + C, R, J, K)
        old, new = z[0], z[1:]
        ratio = self._ratios(old, new)  # det of the information after, over before: (C, R)
        k = self._found.shape[-1]
        with np.errstate(divide="ignore"):
            after = np.maximum(ratio, 0.0) ** (-1 / k) @ self._weights / self._weights.sum()
        least = float(after.min())
        if not least < 1 - _GAIN:
            return False
        # The first of those that are as good as the best.
        chosen = int(np.flatnonzero(after <= least * (1 + _GAIN))[0])
        self._taken[self.space.same(task)] -= 1
        self._taken[self.space.same(fit[chosen])] += 1
        self.tasks[n] = fit[chosen]
        change = np.einsum("rjk,rjl->rkl", new[chosen], new[chosen])
        change = change - np.einsum("rjk,rjl->rkl", old, old)
        self._refresh(self._found + change)
        return True

    def _neighbours(self, task: Task) -> list[Task]:
        """The tasks that differ in one level."""
        return [
            (*task[:s], level, *task[s + 1 :])
            for s, slot in enumerate(self.space.slots)
            for level in range(len(slot.levels))
            if level != task[s]
        ]

    def _ratios(self, old: Array, new: Array) -> Any:
        """``det(I + D U M^-1 U')`` with U the rows put in and those taken out, D their signs."""
        import numpy as np

        u = np.concatenate([new, np.broadcast_to(old, new.shape)], axis=2)  # (L, R, 2J, K)
        j = new.shape[2]
        sign = np.concatenate([np.ones(j), -np.ones(j)])
        inner = np.einsum("lrik,rkm,lrjm->lrij", u, self._inverse, u, optimize=True)
        return np.linalg.det(np.eye(2 * j) + sign[:, None] * inner)

    def _fits(self, task: Task) -> bool:
        space = self.space
        return space.distinct(task) and not self._taken[space.same(task)] and space.allowed(task)
