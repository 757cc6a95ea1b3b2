"""The pods of an AIWorkerPool."""
