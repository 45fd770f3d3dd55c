"""One fit: from data to coefficients and their covariance."""
