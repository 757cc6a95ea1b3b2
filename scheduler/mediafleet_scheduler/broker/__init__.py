"""The AI worker broker: remote workers register here, orchestrators find one runner."""
