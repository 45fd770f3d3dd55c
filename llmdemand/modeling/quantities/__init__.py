"""What a fitted demand says of shares, prices, worth and welfare."""
