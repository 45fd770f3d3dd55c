"""Calibration of models that are no plain logit: nested, mixed, whatever can be fitted."""
