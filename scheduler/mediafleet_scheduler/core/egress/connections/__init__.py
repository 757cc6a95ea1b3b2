"""Who may be connected to, and with what."""
