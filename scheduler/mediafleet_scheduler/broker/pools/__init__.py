"""AIWorkerPools of the cluster that the broker is in."""
