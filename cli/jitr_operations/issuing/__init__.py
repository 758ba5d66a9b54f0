"""Keys and certificates made."""
