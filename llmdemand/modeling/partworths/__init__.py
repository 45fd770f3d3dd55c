"""What levels of attributes are worth: part-worths, importances, and how they predict holdouts."""
