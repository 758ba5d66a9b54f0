"""``jitr rules``."""
