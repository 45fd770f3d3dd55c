"""Commands on studies that several machines ask."""
