"""The commands, a folder a group: parse, call an operation, show what came of it."""
