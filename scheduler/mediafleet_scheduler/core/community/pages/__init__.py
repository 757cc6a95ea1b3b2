"""What people read in a browser of what is shared. Pure."""
