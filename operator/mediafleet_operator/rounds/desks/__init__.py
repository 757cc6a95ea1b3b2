"""What desks are asked."""
