"""What an operator can do, without a terminal: plain values in, plain values out."""
