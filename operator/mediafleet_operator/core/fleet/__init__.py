"""The plan of a fleet: which pods are made, marked and deleted. Pure."""
