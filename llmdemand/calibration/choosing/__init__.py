"""Whom to ask next, and when to stop asking."""
