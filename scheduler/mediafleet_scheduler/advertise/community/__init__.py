"""Community metrics of a pool by a process that answers no gateway."""
