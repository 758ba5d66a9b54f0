"""After the door: how devices that are in stand today, and what is done about it."""
