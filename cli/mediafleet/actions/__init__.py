"""Commands for people that change something in a cluster."""
