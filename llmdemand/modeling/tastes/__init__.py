"""How tastes differ between respondents: own demands, their law, and what follows from it."""
