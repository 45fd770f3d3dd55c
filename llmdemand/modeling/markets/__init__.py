"""Prices of several products at once: of one owner, and of rivals."""
