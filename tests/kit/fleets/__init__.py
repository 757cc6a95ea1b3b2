"""Fleets of stand-in workers: their manifests, their users, and random changes of them."""
