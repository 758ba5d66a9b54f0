"""Decisions on record, and what would be decided now."""
