"""What commands share with the person at the terminal: output, options, completion."""
