"""What operators changed: written down as it is done, and read."""
