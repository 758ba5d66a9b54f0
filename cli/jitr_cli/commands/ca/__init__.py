"""``jitr ca``."""
