"""One registration event, from the queue to ACTIVE."""
