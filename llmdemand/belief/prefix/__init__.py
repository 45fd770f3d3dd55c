"""What an automaton knows of the text so far, and what the next character makes of it."""
