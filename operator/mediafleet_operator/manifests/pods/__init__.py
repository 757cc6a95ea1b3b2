"""The pods of a fleet. Pure."""
