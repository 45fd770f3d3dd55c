"""Belief from branches, and what it is compared with."""
