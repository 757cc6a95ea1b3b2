"""Start, drain and stop a server: HTTP health and metrics, TLS material, logs, signals."""
