"""What autoscaling makes of a load, on virtual time: a fleet, and the engines that scale it."""
