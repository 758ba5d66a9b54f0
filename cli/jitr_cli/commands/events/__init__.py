"""``jitr events``."""
