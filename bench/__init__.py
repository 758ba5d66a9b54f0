"""How fast, how cheap, how flat: measured, against a baseline in the same run. `make bench` runs all of it."""
