"""The table: items, keys, and each kind of thing that is kept in it."""
