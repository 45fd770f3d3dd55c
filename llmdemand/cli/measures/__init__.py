"""Commands on measures that are not model belief."""
