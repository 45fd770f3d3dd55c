"""Consumers whose demand is known: what they want, what follows from it, and their words."""
