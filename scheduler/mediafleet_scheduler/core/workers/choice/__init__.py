"""Which worker gets a task."""
