"""An operator and devices on the local stack."""
