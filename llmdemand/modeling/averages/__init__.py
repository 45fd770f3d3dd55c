"""Averages over rows that stayed in their files: sums over parts of them."""
