"""Prices or products without humans: what is carried there, by an assumption and its bound."""
