"""What doors, advertisers and the reporter of a pool tell each other by a Redis."""
