"""Runs of a panel that enter a fit, whether the panel is in memory or in files."""
