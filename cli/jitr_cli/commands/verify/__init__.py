"""``jitr verify``."""
