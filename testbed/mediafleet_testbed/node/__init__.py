"""A Kubernetes node of plain processes."""
