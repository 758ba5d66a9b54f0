"""Rows from what vendors and factories hand over: signed manifests, and folders of certificates."""
