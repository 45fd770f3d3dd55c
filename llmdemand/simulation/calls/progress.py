"""What a run shows while it lasts."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from llmdemand.errors import warn

__all__ = ["Progress", "progress_bar"]

_EVERY = 0.1


class Progress:
    """Counts that a bar draws; without a bar they are only counts.

    Attributes
    ----------
    done, total : int
        Answers in the panel, and wanted.
    statuses : Counter
        Runs by status.
    usd : float
        Spent by this call.
    in_flight : int
        Calls under way.
    note : str
        What the run is waiting for, if anything.
    """

    def __init__(self, total: int, bar: Any = None, task: Any = None) -> None:
        self.done, self.total = 0, total
        self.statuses: Counter[str] = Counter()
        self.usd, self.in_flight, self.note = 0.0, 0, ""
        self._bar, self._task, self._drawn = bar, task, 0.0

    def row(self, status: str) -> None:
        """One more row of the panel."""
        self.done += 1
        self.statuses[status] += 1
        self.draw()

    def say(self, text: str) -> None:
        """Say something that matters: above the bar, or as a warning where there is none."""
        if self._bar is None:
            warn(text, RuntimeWarning)
        else:
            self._bar.console.print(text, markup=False, highlight=False)

    def interrupted(self, running: int, grace: float) -> None:
        """Say at once that answers under way are waited for; nothing where there is no bar."""
        if self._bar is not None:
            answers = f"{running:,} answer{'s' if running > 1 else ''}"
            self.say(
                f"interrupted: waiting up to {grace:.0f} s for {answers} under way, which will be "
                "kept; interrupt again to stop at once"
            )

    def draw(self, *, now: bool = False) -> None:
        """Show the counts, at most ten times a second."""
        if self._bar is None or not (now or time.monotonic() - self._drawn > _EVERY):
            return
        self._drawn = time.monotonic()
        parts = [f"{status} {n}" for status, n in self.statuses.most_common(3)]
        if len(self.statuses) > 3:
            parts.append("...")
        if self.usd:
            parts.append(f"${self.usd:.4g}")
        if self.in_flight > 1:
            parts.append(f"{self.in_flight} in flight")
        if self.note:
            parts.append(self.note)
        self._bar.update(self._task, completed=self.done, words=", ".join(parts))


@contextmanager
def progress_bar(title: str, total: int, show: bool) -> Iterator[Progress]:
    """A bar with rate, time left, spending and statuses, on standard error."""
    if not show:
        yield Progress(total)
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        ProgressColumn,
        Task,
        TextColumn,
        TimeRemainingColumn,
    )
    from rich.progress import Progress as Bar
    from rich.table import Column
    from rich.text import Text

    class Rate(ProgressColumn):
        """Answers per second."""

        def render(self, task: Task) -> Text:
            return Text(f"{task.speed:.3g}/s," if task.speed else "")

    # Where the terminal is narrow words are cut, and never the count.
    def cut(ratio: int) -> Column:
        return Column(no_wrap=True, overflow="ellipsis", ratio=ratio)

    columns = [
        TextColumn("{task.description}", table_column=cut(1)),
        BarColumn(bar_width=20),
        MofNCompleteColumn(table_column=Column(no_wrap=True, min_width=2 * len(str(total)) + 1)),
        Rate(table_column=Column(no_wrap=True)),
        TimeRemainingColumn(compact=True),
        TextColumn("left  {task.fields[words]}", table_column=cut(3)),
    ]
    with Bar(*columns, console=Console(stderr=True), expand=True) as bar:
        state = Progress(total, bar, bar.add_task(title, total=total, words=""))
        try:
            yield state
        finally:
            state.draw(now=True)
