"""Commands that follow what goes on, and tell what went on."""
