"""How far a language model is from people, beyond the mean: heuristic, and what it licenses."""
