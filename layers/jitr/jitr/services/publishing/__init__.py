"""Rules put in force, and uploads to the configuration bucket."""
