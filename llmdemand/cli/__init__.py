"""The command line. It parses, calls and prints; it computes nothing."""

from llmdemand.cli import batches, lab, panels, people, plans, readers, runs, stores, studies
from llmdemand.cli.app import app, main

__all__ = [
    "app",
    "batches",
    "lab",
    "main",
    "panels",
    "people",
    "plans",
    "readers",
    "runs",
    "stores",
    "studies",
]
