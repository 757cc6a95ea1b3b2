"""Demand of which nothing is known, and how that is said."""

from __future__ import annotations

from mediafleet_common.api.names import Kind
from mediafleet_common.reports.demand import FleetDemand


def unknown(kind: Kind, namespace: str, name: str, reason: str, now: float) -> FleetDemand:
    """A fleet of which nothing is known."""
    return FleetDemand(
        kind=kind, namespace=namespace, name=name, known=False, reason=reason, at=now
    )


def silence(names: list[str], what: str) -> str:
    """A sentence about the first of some pods, and how many more there are."""
    more = f" and {len(names) - 1} more" if len(names) > 1 else ""
    return f"{min(names)}{more} {what}"
