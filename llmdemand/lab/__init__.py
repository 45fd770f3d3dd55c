"""Experiments on model belief: whether it is unbiased, how precise, and when it fails."""
