"""The choice tasks of a study: how they are made, and which they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from llmdemand.core.experiment.coding import coding, prior_draws
from llmdemand.core.experiment.exchange import efficient
from llmdemand.core.experiment.space import Space, Task
from llmdemand.core.experiment.tasks import balanced, blocked, draw, generator
from llmdemand.errors import StudyError, nearest

__all__ = ["METHODS", "Conjoint", "designed", "holdout"]

#: Ways to make tasks.
METHODS = {
    "random": "profiles drawn at random",
    "balanced-overlap": "levels shown equally often, with about half of the overlap of random",
    "minimal-overlap": "levels shown equally often, with the least overlap",
    "efficient": "the smallest D-error at the prior",
    "given": "as they are given",
}
_MOST = 10_000  # tasks


@dataclass(frozen=True)
class Conjoint:
    """Choice tasks: profiles of all alternatives, each task shown at once.

    Attributes
    ----------
    tasks : tuple of int
        Number of tasks; several numbers are stages, each made so that those before stay.
    method : str
        One of `METHODS`.
    blocks : int
        Into which tasks are divided; each persona is asked one block, in turn.
    holdouts : int
        Further tasks that everyone is asked and no model is fitted to.
    seed : int
        Of all that is drawn.
    labelled : bool
        Whether alternatives are brands with a constant of their own, or "option 1", "option 2".
    prior : mapping
        What is believed of utilities: see `coding.prior_draws`.
    prohibited : tuple of mapping
        Levels that never meet: see `Space.of`.
    design : tuple of tuple of int
        The tasks, then the holdouts: index of the level of each slot. Made of the rest where it
        is empty, and kept with the study, so that no version makes another one of it.
    block : tuple of int
        Block of each task, from 0.

    Examples
    --------
    >>> Conjoint((12,), blocks=2).total
    12
    """

    tasks: tuple[int, ...]
    method: str = "efficient"
    blocks: int = 1
    holdouts: int = 0
    seed: int = 0
    labelled: bool = True
    prior: Mapping[str, Any] = field(default_factory=dict)
    prohibited: tuple[Mapping[str, Any], ...] = ()
    design: tuple[Task, ...] = ()
    block: tuple[int, ...] = ()

    @property
    def total(self) -> int:
        """Number of tasks, holdouts left aside."""
        return sum(self.tasks)

    @property
    def asked(self) -> tuple[Task, ...]:
        """The tasks that models are fitted to."""
        return self.design[: self.total]

    @property
    def held_out(self) -> tuple[Task, ...]:
        """The holdout tasks."""
        return self.design[self.total :]

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the tasks as panels have them: 1, 2, ... and h1, h2, ..."""
        return (
            *(str(k + 1) for k in range(self.total)),
            *(f"h{k + 1}" for k in range(len(self.design) - self.total)),
        )

    def seen_by(self, place: int) -> list[int]:
        """Positions in `design` that the persona at a place is asked."""
        mine = place % self.blocks
        return [k for k in range(len(self.design)) if k >= self.total or self.block[k] == mine]

    def to_dict(self) -> dict[str, Any]:
        """Plain data, the design included."""
        given = {
            "tasks": list(self.tasks) if len(self.tasks) > 1 else self.tasks[0],
            "method": self.method,
        }
        more = {
            "blocks": (self.blocks, 1),
            "holdouts": (self.holdouts, 0),
            "seed": (self.seed, 0),
            "labelled": (self.labelled, True),
            "prior": (_plain(self.prior), {}),
            "prohibited": (_plain(self.prohibited), []),
        }
        given |= {k: value for k, (value, default) in more.items() if value != default}
        return {**given, "design": _plain(self.design), "block": list(self.block)}


def holdout(task: str | None) -> bool:
    """Whether a task's name is that of a holdout."""
    return task is not None and task.startswith("h")


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {k: _plain(v) for k, v in value.items()}
    return [_plain(v) for v in value] if isinstance(value, list | tuple) else value


def designed(given: Conjoint, space: Space) -> Conjoint:
    """The same with its tasks, made or checked.

    Raises
    ------
    StudyError
        For an impossible option; for a design that the levels or the barred pairs do not allow.
    """
    _check(given)
    beta = prior_draws(space, given.prior)
    if given.design:
        _check_design(given, space)
        if given.block:
            return given
    else:
        given = replace(given, design=_made(given, space, beta))
    stages, at = [], 0
    for count in given.tasks:
        stages.append(given.design[at : at + count])
        at += count
    return replace(given, block=tuple(blocked(space, stages, given.blocks, given.seed)))


def _made(given: Conjoint, space: Space, beta: Any) -> tuple[Task, ...]:
    if given.method == "given":
        raise StudyError("conjoint.method is 'given', but there is no design: give the tasks")
    held = _drawn(space, given.holdouts, given.seed, 2)
    tasks: list[Task] = []
    code = coding(space) if given.method == "efficient" else None
    for stage, count in enumerate(given.tasks):
        if code is not None:
            seed = given.seed + 7919 * stage
            tasks += efficient(space, code, beta, count, seed, tasks, held)
        elif given.method == "random":
            tasks += _drawn(space, count, given.seed, 0, tasks, held)
        else:
            overlap = 0.5 if given.method == "balanced-overlap" else 0.0
            tasks += balanced(space, count, given.seed, tasks, overlap, held)
    return (*tasks, *held)


def _drawn(
    space: Space,
    count: int,
    seed: int,
    purpose: int,
    earlier: Sequence[Task] = (),
    apart: Sequence[Task] = (),
) -> list[Task]:
    """Random tasks, each by a key of its own, so that nothing hangs on how many there will be."""
    found: list[Task] = []
    taken = {space.same(t) for t in (*earlier, *apart)}
    for k in range(count):
        found.append(draw(space, generator(seed, purpose, len(earlier) + k), taken))
        taken.add(space.same(found[-1]))
    return found


def _check(given: Conjoint) -> None:
    if given.method not in METHODS:
        raise StudyError(
            f"conjoint.method is {given.method!r}{nearest(given.method, list(METHODS))}: use "
            f"{', '.join(METHODS)}"
        )
    if not given.tasks or min(given.tasks) < 1 or given.total > _MOST:
        raise StudyError(
            f"conjoint.tasks is {list(given.tasks)}: give a number of tasks from 1 to {_MOST:,}, "
            "or a list of numbers, one for each stage"
        )
    if not 0 <= given.holdouts <= _MOST or given.seed < 0:
        raise StudyError(
            f"conjoint.holdouts is {given.holdouts} and conjoint.seed {given.seed}: give whole "
            f"numbers from 0 (holdouts up to {_MOST:,})"
        )
    if not 1 <= given.blocks <= given.tasks[0]:
        raise StudyError(
            f"conjoint.blocks is {given.blocks}, with {given.tasks[0]} tasks"
            f"{' in the first stage' if len(given.tasks) > 1 else ''}: give 1 block to as many as "
            "there are tasks"
        )


def _check_design(given: Conjoint, space: Space) -> None:
    wanted = given.total + given.holdouts
    if len(given.design) != wanted or (given.block and len(given.block) != given.total):
        raise StudyError(
            f"conjoint.design has {len(given.design)} tasks and conjoint.block {len(given.block)}, "
            f"where tasks and holdouts are {given.total} and {given.holdouts}: leave both out, and "
            "the design is made anew"
        )
    if any(not 0 <= b < given.blocks for b in given.block):
        raise StudyError("conjoint.block names blocks that there are not: leave it out")
    sizes = [len(s.levels) for s in space.slots]
    seen: dict[object, str] = {}
    for name, task in zip(given.names, given.design, strict=True):
        fit = len(task) == len(sizes) and all(
            isinstance(k, int) and 0 <= k < n for k, n in zip(task, sizes, strict=False)
        )
        if not fit:
            raise StudyError(
                f"task {name} of conjoint.design is {list(task)}, no levels of the "
                f"{len(sizes)} factors ({_slots(space.slots)}): leave design and block out, and "
                "they are made anew"
            )
        if not space.distinct(task):
            raise StudyError(
                f"task {name} of conjoint.design shows two alternatives that are alike in all: "
                "give them different levels"
            )
        if (other := seen.setdefault(space.same(task), name)) != name:
            raise StudyError(
                f"task {name} of conjoint.design asks what task {other} asks: give each task "
                "levels of its own; to ask one more often, raise runs"
            )
        if not space.allowed(task):
            raise StudyError(
                f"task {name} of conjoint.design shows levels that are prohibited together: leave "
                "design and block out, and they are made anew"
            )


def _slots(slots: Sequence[Any]) -> str:
    return ", ".join(f"{s.factor}_{s.alternative}" for s in slots)
