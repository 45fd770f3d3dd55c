"""Demand models and their inference. Knows panels, not how they came about."""
