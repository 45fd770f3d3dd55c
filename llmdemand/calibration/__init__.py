"""Calibration: from what the model would buy to what people would buy."""
