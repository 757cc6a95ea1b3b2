"""Further groups of what is shared: work by kind, beside streams by origin. Pure."""
