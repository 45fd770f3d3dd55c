"""What a study asks: templates, respondents, the design, and their checks."""
