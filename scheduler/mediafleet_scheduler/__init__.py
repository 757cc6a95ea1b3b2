"""The data plane: decides which pod gets the work."""
