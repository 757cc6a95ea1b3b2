"""What the egress desk counts. Labels are bounded: fleets, types, modes and our own words."""

from __future__ import annotations

from typing import Final

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Histogram

_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 40)


class EgressMetrics:
    """The desk's counters and histograms."""

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        self.registry: Final = registry
        self.placements: Final = Counter(
            "mediafleet_placements",
            "Jobs that a pod has taken.",
            ["fleet", "mode", "type"],
            registry=registry,
        )
        self.placement_seconds: Final = Histogram(
            "mediafleet_placement_seconds",
            "From the arrival of a StartEgress to the answer of the pod that took it.",
            ["fleet"],
            buckets=_SECONDS,
            registry=registry,
        )
        self.decision_seconds: Final = Histogram(
            "mediafleet_placement_decision_seconds",
            "From the arrival of a StartEgress to the first claim of a place, without the pod.",
            buckets=_SECONDS,
            registry=registry,
        )
        self.silences: Final = Counter(
            "mediafleet_silences",
            "StartEgress that a full fleet left to egress workers outside of fleets.",
            ["fleet"],
            registry=registry,
        )
        self.foreign_bidders: Final = Counter(
            "mediafleet_foreign_bidder_grants",
            "StartEgress that was given to egress workers outside of fleets.",
            registry=registry,
        )
        self.queue_seconds: Final = Histogram(
            "mediafleet_queue_seconds",
            "How long requests waited for room, those that were refused in the end included.",
            ["fleet"],
            buckets=_SECONDS,
            registry=registry,
        )
        self.rejections: Final = Counter(
            "mediafleet_rejections",
            "StartEgress refused, by the reason in the answer; fleet is the first that takes "
            "the type.",
            ["fleet", "reason"],
            registry=registry,
        )
        self.joins: Final = Counter(
            "mediafleet_retries_joined",
            "StartEgress for an egress id that had been asked for before.",
            registry=registry,
        )
        self.forward_attempts: Final = Counter(
            "mediafleet_forward_attempts",
            "Requests handed to a pod, by what came of it.",
            ["outcome"],
            registry=registry,
        )
        self.faults: Final = Counter(
            "mediafleet_pod_faults",
            "Jobs that a pod did not start by its own fault: no bid or a refusal with room to "
            "spare, a failed start, no answer.",
            ["fault"],
            registry=registry,
        )
        self.quarantines: Final = Counter(
            "mediafleet_pod_quarantines",
            "Times that a pod was given no more jobs for a while, by its last fault.",
            ["fault"],
            registry=registry,
        )
        self.ends: Final = Counter(
            "mediafleet_jobs_ended",
            "Ends of jobs, by how they were learnt: heard on the bus, missed and found by asking "
            "the pods, or lost with their pod.",
            ["how"],
            registry=registry,
        )
        self.jobs_lost: Final = Counter(
            "mediafleet_jobs_lost",
            "Jobs that were lost with their pod.",
            ["fleet"],
            registry=registry,
        )
        self.lost_reports: Final = Counter(
            "mediafleet_lost_job_reports",
            "Attempts to tell livekit-server of a lost job (placement.reportLost): written, "
            "not_needed since its record says that it is over, or failed.",
            ["outcome"],
            registry=registry,
        )
        self.bad_messages: Final = Counter(
            "mediafleet_psrpc_bad_messages",
            "Messages on the bus that could not be read.",
            ["reason"],
            registry=registry,
        )
        self.bus_troubles: Final = Counter(
            "mediafleet_bus_troubles",
            "Lost connections to Redis, dropped messages, failing receivers.",
            ["trouble"],
            registry=registry,
        )
        self.rests: Final = Counter(
            "mediafleet_tenant_rest_seconds",
            "How long messages of namespaces waited in their Redis, since they used more of a "
            "shared desk's time than they may.",
            ["namespaces"],
            registry=registry,
        )
        self.branch_failures: Final = Counter(
            "mediafleet_redis_failures",
            "Times that a Redis which a fleet names could not be served.",
            registry=registry,
        )
        self.ledger_errors: Final = Counter(
            "mediafleet_ledger_errors",
            "Calls of the ledger in Redis that failed.",
            ["operation"],
            registry=registry,
        )
        self.scrapes: Final = Counter(
            "mediafleet_scrapes",
            "Readings of a pod's metrics.",
            ["outcome"],
            registry=registry,
        )
