"""Commands for one kind of panel."""
