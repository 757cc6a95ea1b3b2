"""Metrics of the operator. Labels are bounded: fleets, never pods or jobs."""

from __future__ import annotations

from typing import Final

from prometheus_client import Counter, Gauge, Histogram

_DRAIN_BUCKETS: Final = (1, 2, 5, 10, 30, 60, 300, 600, 1800, 3600, 7200, 14400)
_RECONCILE_BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)

fleet_replicas: Final = Gauge(
    "mediafleet_fleet_replicas",
    "Pods of a fleet by state; state wanted is what the resource asks for.",
    ["kind", "fleet", "state"],
)
reconcile_seconds: Final = Histogram(
    "mediafleet_reconcile_seconds",
    "From taking a fleet's key to its last write.",
    ["kind"],
    buckets=_RECONCILE_BUCKETS,
)
reconcile_errors: Final = Counter(
    "mediafleet_reconcile_errors_total",
    "Steps that failed; each is tried again.",
    ["kind", "reason"],
)
drain_seconds: Final = Histogram(
    "mediafleet_drain_seconds",
    "From unlisting a pod to its deletion.",
    ["kind"],
    buckets=_DRAIN_BUCKETS,
)
drains: Final = Counter(
    "mediafleet_drains_total",
    "Drains that ended: idle, timed_out, cancelled.",
    ["kind", "result"],
)
drain_latecomers: Final = Counter(
    "mediafleet_drain_latecomers_total",
    "Pods deleted as idle that had work again after the last idle reading; their preStop waits.",
    ["kind"],
)
probes: Final = Counter(
    "mediafleet_load_probes_total",
    "Pods asked for their load: ok, absent (no such metric), or why they did not answer.",
    ["kind", "result"],
)
leader: Final = Gauge("mediafleet_leader", "1 while this operator works, 0 while it waits.")
watch_age: Final = Gauge(
    "mediafleet_watch_last_event_age_seconds",
    "Since the last event of any watch; a quiet cluster is quiet.",
)
api_writes: Final = Counter(
    "mediafleet_api_writes_total",
    "Writes to the API server.",
    ["verb", "resource", "result"],
)
build_info: Final = Gauge("mediafleet_build_info", "Always 1.", ["version", "component"])
