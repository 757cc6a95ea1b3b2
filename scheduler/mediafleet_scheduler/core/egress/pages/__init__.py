"""What the desk's page shows."""
