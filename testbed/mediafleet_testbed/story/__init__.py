"""What the demo tells, from inside the cluster: a Job that does what users do and checks it."""
