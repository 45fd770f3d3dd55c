"""From joined data to a calibrated demand: lambda, fits, checks."""
