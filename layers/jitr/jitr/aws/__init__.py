"""The adapters: everything that talks to AWS, tells the time or reads the environment."""
