"""The command line. It parses, calls and prints; it computes nothing."""

from llmdemand.cli import batches, panels, runs, stores, studies
from llmdemand.cli.app import app, main

__all__ = ["app", "batches", "main", "panels", "runs", "stores", "studies"]
