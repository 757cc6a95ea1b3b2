"""The sidecar of an orchestrator node."""
