"""Telling others: an event bus what was decided and changed, and people who began to wait."""
