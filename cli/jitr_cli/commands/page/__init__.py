"""``jitr page``."""
