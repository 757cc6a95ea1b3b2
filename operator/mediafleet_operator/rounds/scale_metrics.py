"""Metrics of autoscaling."""

from __future__ import annotations

from typing import Final

from prometheus_client import Counter, Gauge, Histogram

_CAPACITY_BUCKETS: Final = (1, 2, 5, 10, 15, 20, 30, 45, 60, 90, 120, 180, 300, 600, 1800)

autoscaling_demand: Final = Gauge(
    "mediafleet_autoscaling_demand",
    "What an HPA may be given: pods that demand wants, times spec.autoscaling.target. Absent while "
    "demand is unknown, so that an HPA holds.",
    # An HPA finds it by a label selector, whose values have no slash.
    ["kind", "fleet_namespace", "fleet_name"],
)
autoscaling_wanted: Final = Gauge(
    "mediafleet_autoscaling_wanted",
    "Pods that demand wants, within the bounds, before spec.autoscaling.behavior holds any back; "
    "with KEDA or an HPA on another metric, what they wrote to spec.replicas.",
    ["kind", "fleet"],
)
autoscaling_replicas: Final = Gauge(
    "mediafleet_autoscaling_replicas",
    "spec.replicas of a fleet that is scaled automatically.",
    ["kind", "fleet"],
)
autoscaling_active: Final = Gauge(
    "mediafleet_autoscaling_active",
    "1 while the fleet follows demand; 0 while replicas stay, see its condition ScalingActive.",
    ["kind", "fleet", "engine"],
)
autoscaling_last_change: Final = Gauge(
    "mediafleet_autoscaling_last_change_timestamp_seconds",
    "When spec.replicas was last seen to change.",
    ["kind", "fleet"],
)
autoscaling_changes: Final = Counter(
    "mediafleet_autoscaling_changes_total",
    "Changes of spec.replicas by engine builtin: up, down.",
    ["kind", "direction"],
)
demand_to_capacity: Final = Histogram(
    "mediafleet_demand_to_capacity_seconds",
    "From demand for more pods than are Ready until as many are, or are no longer wanted; with "
    "KEDA or an HPA on another metric, from their write of spec.replicas.",
    ["kind"],
    buckets=_CAPACITY_BUCKETS,
)
demand_polls: Final = Counter(
    "mediafleet_demand_polls_total",
    "Questions to desks for their demand: ok, or why there was no answer.",
    ["result"],
)
