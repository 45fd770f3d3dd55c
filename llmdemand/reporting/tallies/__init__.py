"""What a panel is reduced to, a part at a time: sums by price and status, and by cell."""
