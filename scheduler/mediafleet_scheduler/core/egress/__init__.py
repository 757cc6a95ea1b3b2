"""Rules of the egress desk. Pure."""
