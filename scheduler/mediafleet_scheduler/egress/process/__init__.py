"""The process of the egress desk, and what it says of itself."""
