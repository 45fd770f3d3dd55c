"""Fits of mixed logits: how they are asked for, the search for the maximum, what is said."""
