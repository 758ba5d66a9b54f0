"""Device lists: rows, and which of them are a given device's."""
