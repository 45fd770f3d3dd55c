"""How calls are made: in what number, at what pace."""
