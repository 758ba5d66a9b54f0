"""``jitr decisions``."""
