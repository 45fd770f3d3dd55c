"""Whether the two sides are one population, asked alike, and blind to the answers."""
