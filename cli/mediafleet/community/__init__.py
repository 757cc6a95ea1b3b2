"""`mediafleet community`, a file for each thing that it does."""
