"""The decision about one device, and why."""
