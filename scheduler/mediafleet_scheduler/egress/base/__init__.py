"""Settings and metrics of the egress desk."""
