"""Rows that do not compress and do not fit into memory: sums over shards, a pass for each step."""
