"""How the devices that are in stand today, looked at some at a time."""
