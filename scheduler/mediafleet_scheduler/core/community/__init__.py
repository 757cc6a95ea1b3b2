"""Rules of community metrics: what is counted, in which group, and what is published. Pure."""
