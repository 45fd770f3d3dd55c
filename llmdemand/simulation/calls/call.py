"""One call: requests that are asked together, and what they can take at most."""

from __future__ import annotations

from dataclasses import dataclass

from llmdemand.belief.branching.branches import MOST_BRANCHES
from llmdemand.core.sampling import Sampling
from llmdemand.simulation.backend import Request
from llmdemand.simulation.cost import FRAME, LOOKS

__all__ = ["Call"]


@dataclass(frozen=True, slots=True)
class Call:
    """Requests that share a prompt.

    Attributes
    ----------
    requests : tuple of Request
        At least one.
    """

    requests: tuple[Request, ...]

    @property
    def branches(self) -> int:
        """Most branches that its answers can have, each a call of its own."""
        first = self.requests[0]
        branching = first.sampling.branch and not first.ids
        return MOST_BRANCHES * len(self.requests) if branching else 0

    @property
    def once(self) -> int:
        """Bytes of the prompt and of what is begun, a token counted as one."""
        _, *texts = self.requests[0].prompt
        return sum(len(text.encode()) for text in texts) + len(self.requests[0].ids)

    @property
    def bytes(self) -> int:
        """Bytes that are read, a token that was written and is read again counted as one."""
        once, sampling = self.once, self.requests[0].sampling
        thinking = sampling.thinking
        if self.branches:
            # Each branch reads the prompt and the answer up to where it leaves it.
            return once + (self.branches + self._looks) * (once + FRAME + sampling.max_tokens)
        if thinking is None:
            return once
        # Every thought reads the prompt, every answer the prompt and its thought; a token
        # that was written is one token again when it is read.
        frame = len((thinking.open + thinking.close + thinking.answer).encode()) + FRAME
        return thinking.thoughts * (2 * (once + frame) + thinking.max_tokens)

    @property
    def completion_tokens(self) -> int:
        """Most tokens that can be written."""

        def most(sampling: Sampling) -> int:
            thinking = sampling.thinking
            if thinking is None:
                return sampling.max_tokens
            return thinking.thoughts * (thinking.max_tokens + sampling.max_tokens)

        # One interface writes at least 16 tokens, whatever is asked for.
        longest = [max(16, most(request.sampling)) for request in self.requests]
        return sum(longest) + self.branches * max(longest) + self._looks

    @property
    def calls(self) -> int:
        """Most calls of the server."""
        thinking = self.requests[0].sampling.thinking
        if thinking is not None:
            return 2 * thinking.thoughts
        return 1 + self.branches + self._looks

    @property
    def _looks(self) -> int:
        return LOOKS * len(self.requests) if self.branches else 0
