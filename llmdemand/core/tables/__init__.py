"""Tables of rows, from whatever file holds them."""
