"""Responses as servers write them, read into tokens and log-probabilities."""

from llmdemand.belief.readers.answers import answer_of, read_answers
from llmdemand.belief.readers.response import compact, read_response, thoughts
from llmdemand.belief.readers.short import to_compact

__all__ = ["answer_of", "compact", "read_answers", "read_response", "thoughts", "to_compact"]
