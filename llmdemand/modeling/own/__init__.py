"""Models by their names, for tables of one's own."""
