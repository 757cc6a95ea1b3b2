"""Weeks of what operators shared, as they lie in a store of time series. Pure."""
