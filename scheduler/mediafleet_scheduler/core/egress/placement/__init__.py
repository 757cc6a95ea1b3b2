"""Which pod gets a job, and why. Pure."""
