"""What workers have done."""
