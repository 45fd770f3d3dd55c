"""Quantities and ratings: regressions of what is expected, and what follows from them."""
