"""The Redises that an administrator declares: who may use which, and which host gets what."""
