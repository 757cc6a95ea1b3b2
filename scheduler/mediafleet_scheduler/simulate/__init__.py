"""What would become of a trace of jobs: the rules of placement on a virtual clock."""
