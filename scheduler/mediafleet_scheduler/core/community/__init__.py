"""Rules of community metrics: what is counted, in which group, and what may be told of it. Pure."""
