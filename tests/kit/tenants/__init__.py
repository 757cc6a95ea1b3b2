"""Two tenants of one cluster: one that works, and one that does all it may to harm the other."""
