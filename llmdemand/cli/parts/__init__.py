"""Panels that are folders of parts: the commands that write them."""
