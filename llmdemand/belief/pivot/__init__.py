"""What a response says at its pivot, and what without one."""
