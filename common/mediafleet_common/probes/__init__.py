"""Read a pod's load over HTTP: text -> Load is pure (`load`), the polling stands apart."""
