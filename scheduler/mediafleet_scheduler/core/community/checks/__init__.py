"""Checks of what is shared: against the kernel, against payouts, and guesses at who is silent."""
