"""Rules files, and what else takes registration events."""
