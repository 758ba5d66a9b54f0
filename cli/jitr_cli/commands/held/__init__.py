"""``jitr held``."""
