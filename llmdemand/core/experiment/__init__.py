"""Choice experiments: attributes with levels, profiles, and how much a design will tell."""
