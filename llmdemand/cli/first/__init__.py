"""Commands for a first day: what is installed, and what words mean."""
