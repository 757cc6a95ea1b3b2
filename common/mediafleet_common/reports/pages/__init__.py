"""What desks show on their pages."""
