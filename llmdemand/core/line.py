"""Results at the prompt: one line, whatever they hold."""

from __future__ import annotations

from textwrap import shorten

__all__ = ["OneLine"]


class OneLine:
    r"""A result whose ``repr`` is one line; what else it says stands in ``str`` or ``summary()``.

    A dataclass takes it with ``repr=False``.

    >>> class Found(OneLine):
    ...     def summary(self):
    ...         return "slope -0.5\nof 480 runs"
    >>> Found()
    <Found: slope -0.5>
    """

    __slots__ = ()

    @property
    def _line(self) -> str:
        """What it says of itself: its first line of text."""
        told = getattr(self, "summary", self.__str__)
        return str(told()).partition("\n")[0]

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {shorten(self._line, 200, placeholder=' ...')}>"
