"""The only user of the Kubernetes client: observe, apply, and who may do so."""
