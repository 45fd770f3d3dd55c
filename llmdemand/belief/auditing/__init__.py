"""What an audit counts besides: who answered, and in which place options stood."""
