"""What jobs take of pods, and what is left. Pure."""
