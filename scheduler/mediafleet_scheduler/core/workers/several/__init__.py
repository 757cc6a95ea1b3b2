"""Rules of several brokers that serve the same pools."""
