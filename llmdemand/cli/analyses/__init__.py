"""Commands that estimate from a panel."""
