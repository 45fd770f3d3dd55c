"""Numbers: precision, runs needed, prediction, variance, costs, allocation."""
