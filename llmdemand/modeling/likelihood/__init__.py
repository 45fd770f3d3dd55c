"""Data of a logit: log-likelihood, derivatives, pieces; and what makes shares of utilities."""
