"""What `autoscaling` of a fleet or pool means."""
