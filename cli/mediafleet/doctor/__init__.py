"""What `mediafleet doctor` looks at: facts, what they mean, and what to do."""
