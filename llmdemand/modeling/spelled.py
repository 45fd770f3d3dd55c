"""Functions whose options stand in one place, seen with each of them."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from llmdemand.errors import UsageError, nearest

__all__ = ["spelled"]

P = ParamSpec("P")
R = TypeVar("R")


def spelled(options: type, *defaults: Any) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Show options that a function takes as ``**options`` in its signature, for help and Tab.

    Parameters
    ----------
    options : TypedDict
        Their names.
    *defaults : dataclass instances
        Whose attributes are their defaults; None for the others.

    Raises
    ------
    UsageError
        When the function is called with a name that it does not know.

    Examples
    --------
    >>> from typing import TypedDict, Unpack
    >>> class Some(TypedDict, total=False):
    ...     level: float
    >>> @spelled(Some)
    ... def f(x: int, **options: Unpack[Some]) -> int:
    ...     return x
    >>> list(inspect.signature(f).parameters)
    ['x', 'level']
    """
    names = list(options.__annotations__)
    for base in getattr(options, "__orig_bases__", ()):
        names = [*getattr(base, "__annotations__", {}), *names]
    names = list(dict.fromkeys(names))
    values = {n: v for made in defaults for n, v in vars(made).items()}

    def spell(function: Callable[P, R]) -> Callable[P, R]:
        given = inspect.signature(function)
        kept = [p for p in given.parameters.values() if p.kind is not p.VAR_KEYWORD]
        known = [p.name for p in kept]
        more = [
            inspect.Parameter(n, inspect.Parameter.KEYWORD_ONLY, default=values.get(n))
            for n in names
            if n not in known
        ]

        @functools.wraps(function)
        def asked(*args: P.args, **kwargs: P.kwargs) -> R:
            for name in kwargs:
                if name not in known and name not in names:
                    every = [*known, *names]
                    raise UsageError(
                        f"{function.__name__}: no option {name!r}{nearest(name, every)}: it takes "
                        f"{', '.join(n for n in every if n != 'self')}"
                    )
            return function(*args, **kwargs)

        asked.__signature__ = given.replace(parameters=[*kept, *more])  # type: ignore[attr-defined]
        return asked

    return spell
