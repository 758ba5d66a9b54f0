"""Whether AWS behaves as this software takes it to, seen with a CA and devices that are thrown away."""
