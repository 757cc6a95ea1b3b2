"""Objects of a fleet beside its pods. Pure."""
