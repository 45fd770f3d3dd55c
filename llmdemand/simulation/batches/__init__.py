"""Batch files: what is in their folder, their requests, and the lines of their answers."""
