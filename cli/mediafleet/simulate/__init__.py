"""`mediafleet simulate`: what would become of a trace of jobs, or of a server's own last days."""
