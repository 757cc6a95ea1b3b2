"""Weeks in a store of time series, VictoriaMetrics or Prometheus: written, read and deleted."""
