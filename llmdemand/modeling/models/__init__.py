"""The doors: from a formula and a table to results."""
