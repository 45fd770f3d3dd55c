"""Rows of a panel: their columns, what can be said of them, and their checks."""
