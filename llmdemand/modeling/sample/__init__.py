"""From tables and formulas to regressors."""
