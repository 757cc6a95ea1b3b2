"""The pure part of the data plane: no I/O, no clock, no randomness, no logging."""
