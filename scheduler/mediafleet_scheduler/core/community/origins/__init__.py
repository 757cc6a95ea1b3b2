"""Where streams come from: as a door and a node tell it, and as replicas tell each other. Pure."""
