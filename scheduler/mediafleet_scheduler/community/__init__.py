"""Community metrics: counts what an operator shares, and collects what others share."""
