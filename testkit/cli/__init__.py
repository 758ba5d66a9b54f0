"""What commands are tried on."""
