"""How well a fit predicts."""
