"""What a whole answer chooses: read apart from the pivot rule, so that it may look ahead."""
