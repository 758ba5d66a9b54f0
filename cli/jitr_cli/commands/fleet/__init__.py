"""``jitr fleet``."""
