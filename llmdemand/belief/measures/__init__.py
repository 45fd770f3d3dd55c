"""Probabilities without log-probabilities: what models state, what their texts resemble."""
