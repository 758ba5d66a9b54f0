"""Devices that are in: how each stands today, and whether AWS IoT still has what it was granted."""
