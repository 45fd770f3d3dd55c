"""A fitted demand as numbers that a page can ask: shares, profit, best prices, with bands."""
