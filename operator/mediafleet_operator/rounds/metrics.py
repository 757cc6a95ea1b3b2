"""Metrics of the operator. Labels are bounded: fleets, never pods or jobs."""

from __future__ import annotations

from typing import Final

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram

from mediafleet_common.api.names import KindLabel

_DRAIN_BUCKETS: Final = (1, 2, 5, 10, 30, 60, 300, 600, 1800, 3600, 7200, 14400)
_RECONCILE_BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_CAPACITY_BUCKETS: Final = (1, 2, 5, 10, 15, 20, 30, 45, 60, 90, 120, 180, 300, 600, 1800)


class OperatorMetrics:
    """Everything that the operator counts."""

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        self.fleet_replicas: Final = Gauge(
            "mediafleet_fleet_replicas",
            "Pods of a fleet by state; state wanted is what the resource asks for.",
            ["kind", "fleet", "state"],
            registry=registry,
        )
        self.reconcile_seconds: Final = Histogram(
            "mediafleet_reconcile_seconds",
            "From taking a fleet's key to its last write.",
            ["kind"],
            buckets=_RECONCILE_BUCKETS,
            registry=registry,
        )
        self.reconcile_errors: Final = Counter(
            "mediafleet_reconcile_errors_total",
            "Steps that failed; each is tried again.",
            ["kind", "reason"],
            registry=registry,
        )
        self.drain_seconds: Final = Histogram(
            "mediafleet_drain_seconds",
            "From unlisting a pod to its deletion.",
            ["kind"],
            buckets=_DRAIN_BUCKETS,
            registry=registry,
        )
        self.drains: Final = Counter(
            "mediafleet_drains_total",
            "Drains that ended: idle, timed_out, cancelled.",
            ["kind", "result"],
            registry=registry,
        )
        for kind in KindLabel:
            for result in ("idle", "timed_out", "cancelled"):
                # They count from 0, else Prometheus sees no increase to the first.
                self.drains.labels(kind.value, result)
        self.drain_late_sessions: Final = Counter(
            "mediafleet_drain_late_sessions_total",
            "Pods deleted as idle that had work again after the last idle reading; their preStop "
            "waits.",
            ["kind"],
            registry=registry,
        )
        self.probes: Final = Counter(
            "mediafleet_load_probes_total",
            "Pods asked for their load: ok, absent (no such metric), or why they did not answer.",
            ["kind", "result"],
            registry=registry,
        )
        self.leader: Final = Gauge(
            "mediafleet_leader",
            "1 while this operator works, 0 while it waits.",
            registry=registry,
        )
        self.watch_age: Final = Gauge(
            "mediafleet_watch_last_event_age_seconds",
            "Since the last event of any watch; a quiet cluster is quiet.",
            registry=registry,
        )
        self.api_writes: Final = Counter(
            "mediafleet_api_writes_total",
            "Writes to the API server.",
            ["verb", "resource", "result"],
            registry=registry,
        )
        self.write_rate: Final = Gauge(
            "mediafleet_api_write_rate",
            "Writes a second that the operator allows itself now.",
            registry=registry,
        )
        self.build_info: Final = Gauge(
            "mediafleet_build_info",
            "Always 1.",
            ["version", "component"],
            registry=registry,
        )
        # Autoscaling
        self.autoscaling_demand: Final = Gauge(
            "mediafleet_autoscaling_demand",
            "What an HPA may be given: pods that demand wants, times spec.autoscaling.target. "
            "Absent while demand is unknown, so that an HPA holds.",
            # An HPA finds it by a label selector, whose values have no slash.
            ["kind", "fleet_namespace", "fleet_name"],
            registry=registry,
        )
        self.autoscaling_wanted: Final = Gauge(
            "mediafleet_autoscaling_wanted",
            "Pods that demand wants, within the bounds, before spec.autoscaling.behavior holds any "
            "back; with KEDA or an HPA on another metric, what they wrote to spec.replicas.",
            ["kind", "fleet"],
            registry=registry,
        )
        self.autoscaling_forecast: Final = Gauge(
            "mediafleet_autoscaling_forecast",
            "Pods that spec.autoscaling.forecast wants, by the fleet's own last weeks; absent "
            "where they are unknown, and without a forecast.",
            ["kind", "fleet"],
            registry=registry,
        )
        self.autoscaling_replicas: Final = Gauge(
            "mediafleet_autoscaling_replicas",
            "spec.replicas of a fleet that is scaled automatically.",
            ["kind", "fleet"],
            registry=registry,
        )
        self.autoscaling_active: Final = Gauge(
            "mediafleet_autoscaling_active",
            "1 while the fleet follows demand; 0 while replicas stay, see its condition "
            "ScalingActive.",
            ["kind", "fleet", "engine"],
            registry=registry,
        )
        self.autoscaling_last_change: Final = Gauge(
            "mediafleet_autoscaling_last_change_timestamp_seconds",
            "When spec.replicas was last seen to change.",
            ["kind", "fleet"],
            registry=registry,
        )
        self.autoscaling_changes: Final = Counter(
            "mediafleet_autoscaling_changes_total",
            "Changes of spec.replicas by engine builtin: up, down.",
            ["kind", "direction"],
            registry=registry,
        )
        self.demand_to_capacity: Final = Histogram(
            "mediafleet_demand_to_capacity_seconds",
            "From demand for more pods than are Ready until as many are, or are no longer wanted; "
            "with KEDA or an HPA on another metric, from their write of spec.replicas.",
            ["kind"],
            buckets=_CAPACITY_BUCKETS,
            registry=registry,
        )
        self.demand_polls: Final = Counter(
            "mediafleet_demand_polls_total",
            "Questions to desks for their demand: ok, or why there was no answer.",
            ["result"],
            registry=registry,
        )

    def failed(self, kind: str, reason: str) -> None:
        """A step failed; `kind` is that of the fleet, or `all`."""
        self.reconcile_errors.labels(kind, reason).inc()
