"""``jitr lists``."""
