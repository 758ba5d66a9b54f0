"""Device certificates as AWS IoT holds them, and what operators do to them."""
