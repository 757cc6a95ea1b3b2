"""What is said of a fleet: status, conditions, Events. Pure."""
