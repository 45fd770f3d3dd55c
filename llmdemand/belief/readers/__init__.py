"""Responses as servers write them, read into tokens and log-probabilities."""

from llmdemand.belief.readers.response import compact, read_response, thoughts
from llmdemand.belief.readers.shapes import given
from llmdemand.belief.readers.short import to_compact

__all__ = ["compact", "given", "read_response", "thoughts", "to_compact"]
