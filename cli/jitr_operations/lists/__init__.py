"""Device lists: files, checks, near rows."""
