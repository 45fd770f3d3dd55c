"""Estimating equations of both samples."""
