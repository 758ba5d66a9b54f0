"""``jitr status``."""
