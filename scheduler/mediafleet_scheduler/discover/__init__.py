"""Discovery as a gateway does it, as a client: who would be found, and why not the others."""
