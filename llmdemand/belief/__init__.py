"""Pivot tokens and beliefs, from tokens and log-probabilities alone."""
