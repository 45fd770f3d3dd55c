"""One seam to many processors: a function of shards, mapped and merged."""
