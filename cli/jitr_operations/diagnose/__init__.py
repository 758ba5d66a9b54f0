"""Why a device does not get in, found by connecting as it does."""
