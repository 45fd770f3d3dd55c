"""How many processors there are for us."""

from __future__ import annotations

import os

__all__ = ["processors"]


def processors() -> int:
    """Processors that this process may use, at least one.

    Where the system can tell (Linux), those that it was given, as by ``taskset`` or a container;
    elsewhere all of the machine.

    >>> processors() >= 1
    True
    """
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
