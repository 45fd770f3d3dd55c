"""A demand report on any fit: scanner data, a conjoint experiment, a survey. No model is asked."""
