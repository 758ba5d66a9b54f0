"""What is remembered of a device, and what comes in: events and uploads."""
