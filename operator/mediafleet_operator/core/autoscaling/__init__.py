"""How many pods are wanted: from demand, a schedule, the past and the time, to a number. Pure."""
