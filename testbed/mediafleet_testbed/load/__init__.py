"""Load for desks, and what came of it."""
