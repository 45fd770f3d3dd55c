"""Numbers as tables to read."""
