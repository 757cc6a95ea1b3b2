"""What workers have done, so that a pool can share what it earns."""
