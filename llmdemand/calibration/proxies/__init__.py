"""Several models, prompts or strata, each with a weight of its own."""
