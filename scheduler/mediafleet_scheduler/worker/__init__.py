"""A remote AI worker of our own: it takes a broker's jobs to ai-runner containers beside it."""
