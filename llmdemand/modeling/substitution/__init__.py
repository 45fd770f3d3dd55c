"""Data of demand models beyond independence of irrelevant alternatives."""
