"""How answers are drawn from a language model."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Sampling", "Thinking"]


@dataclass(frozen=True, slots=True)
class Thinking:
    """How a model that reasons is asked: several thoughts, each followed by a forced answer.

    Attributes
    ----------
    thoughts : int
        Thoughts per run, K.
    max_tokens : int
        Longest thought.
    open, close : str
        What a thought stands between; a thought that does not end by itself is closed.
    answer : str
        What follows the thought, so that the next token is the answer.
    """

    thoughts: int = 5
    max_tokens: int = 512
    open: str = "<think>\n"
    close: str = "</think>"
    answer: str = "\n\nAnswer:"


@dataclass(frozen=True, slots=True)
class Sampling:
    """How answers are drawn.

    Attributes
    ----------
    temperature : float
        Of the sampling law; log-probabilities are recorded before it applies.
    max_tokens : int
        Longest answer.
    top_logprobs : int
        Candidates listed per position (OpenAI allows 20).
    stop : tuple of str
        Strings that end an answer.
    thinking : Thinking or None
        For models that reason before they answer; None asks for the answer itself.
    branch : bool
        Continue each token with which a name may begin to the end of its answer, and take
        belief from the finished texts (`llmdemand.belief.branching.branches`); for models that
        continue a beginning: ``local``, vLLM, the llama.cpp server.
    """

    temperature: float = 1.0
    max_tokens: int = 60
    top_logprobs: int = 20
    stop: tuple[str, ...] = ()
    thinking: Thinking | None = None
    branch: bool = False
