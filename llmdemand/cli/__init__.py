"""The command line. It parses, calls and prints; it computes nothing."""

from llmdemand.cli import (
    batches,
    lab,
    panels,
    plans,
    readers,
    runs,
    stores,
    studies,
)
from llmdemand.cli.analyses import comparison, conjoint, fits, multiverse, replication, transport
from llmdemand.cli.app import app, main
from llmdemand.cli.first import installation, words
from llmdemand.cli.measures import similarity
from llmdemand.cli.people import calibrating
from llmdemand.cli.shards import merge

__all__ = [
    "app",
    "batches",
    "calibrating",
    "comparison",
    "conjoint",
    "fits",
    "installation",
    "lab",
    "main",
    "merge",
    "multiverse",
    "panels",
    "plans",
    "readers",
    "replication",
    "runs",
    "similarity",
    "stores",
    "studies",
    "transport",
    "words",
]
