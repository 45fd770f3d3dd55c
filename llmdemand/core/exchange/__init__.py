"""Studies as other tools hold them."""
