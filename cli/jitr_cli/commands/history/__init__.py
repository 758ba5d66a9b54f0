"""``jitr history``."""
