"""The Kubernetes client of operator, desks and commands."""
