"""The vocabulary: menu, study, panel. No network, no model, no estimation."""
