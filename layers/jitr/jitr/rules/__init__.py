"""The operators' admission rules: their model, and how the YAML file is read."""
