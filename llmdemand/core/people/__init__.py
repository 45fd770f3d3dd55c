"""People as tables hold them: agents of other tools, and quotas."""
