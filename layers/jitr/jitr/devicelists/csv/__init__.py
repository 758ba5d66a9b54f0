"""Device lists as CSV: records, cells and rows, read a piece at a time."""
