"""What the operator and the scheduler share."""
