"""Certificate authorities as AWS IoT holds them."""
