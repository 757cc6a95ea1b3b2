"""Who else speaks on the bus: pods, livekit-server, other workers."""
