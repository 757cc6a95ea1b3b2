"""LiveKit's RPC over Redis, in Python: channels, envelopes, bus, client, server."""
