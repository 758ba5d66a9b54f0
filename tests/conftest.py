"""What every test runs under."""

import signal

# A shell that starts a command in the background has it ignore SIGINT, and that is handed down to every process that
# tests start in order to interrupt it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
