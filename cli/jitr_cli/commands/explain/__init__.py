"""``jitr explain``."""
