"""`make quick` and `make demo`."""
