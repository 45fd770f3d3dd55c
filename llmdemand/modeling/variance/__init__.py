"""Covariances and bootstraps."""
