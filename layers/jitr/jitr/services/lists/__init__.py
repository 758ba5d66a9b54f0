"""Device lists in the table: read, edited, imported."""
