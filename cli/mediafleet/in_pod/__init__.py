"""Commands that run inside pods."""
