"""What the functions do: pure decisions carried out through the adapters."""
