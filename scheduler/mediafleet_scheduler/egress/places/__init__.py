"""Places on pods: candidates, costs, queue, choice."""
