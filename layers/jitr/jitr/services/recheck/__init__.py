"""Held devices decided again after an edit, when they are due, or on an operator's word."""
