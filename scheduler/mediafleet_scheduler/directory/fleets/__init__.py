"""Egress fleets from Kubernetes, each namespace at a pace of its own."""
