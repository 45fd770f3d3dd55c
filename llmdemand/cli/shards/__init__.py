"""Commands on studies that several machines ask, and on panels in many files."""
