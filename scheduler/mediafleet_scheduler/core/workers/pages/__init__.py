"""What the AI workers' page shows."""
