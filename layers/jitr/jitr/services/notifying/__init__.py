"""Telling others, on the event bus, what was decided and changed."""
