"""Compares estimates: precision, prediction, tables, figures, the report."""
