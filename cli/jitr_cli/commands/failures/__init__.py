"""``jitr failures``."""
