"""Where the maximum is, and whether there is one."""
