"""Everything that can be wrong with a study, before any model is asked."""
