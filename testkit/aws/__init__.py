"""AWS in memory, and a world of its own for each test."""
