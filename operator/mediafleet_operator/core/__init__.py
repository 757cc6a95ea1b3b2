"""Decisions about fleets: no I/O, clock, randomness or logging; all of it comes in as arguments."""
