"""Rounds of a fleet: observe, plan, apply, report."""
