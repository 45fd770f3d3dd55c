"""Fits of tables of one's own: scanner data, conjoint experiments, surveys."""
