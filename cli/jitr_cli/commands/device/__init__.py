"""``jitr device``."""
