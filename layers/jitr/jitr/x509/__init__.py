"""Certificates, keys and revocation lists: hostile bytes become facts."""
