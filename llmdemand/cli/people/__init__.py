"""Human answers beside a language model's: what is read, calibrated, planned and shown."""
