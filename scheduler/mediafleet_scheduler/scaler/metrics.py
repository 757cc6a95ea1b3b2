"""What the scaler counts."""

from __future__ import annotations

from typing import Final

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge


class ScalerMetrics:
    """One set per process."""

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        self.requests: Final = Counter(
            "mediafleet_scaler_requests",
            "Answers of the KEDA scaler, by call and gRPC status; UNAVAILABLE: the demand was not "
            "known.",
            ["rpc", "code"],
            registry=registry,
        )
        self.streams: Final = Gauge(
            "mediafleet_scaler_streams",
            "Streams that KEDA holds open, by call.",
            ["rpc"],
            registry=registry,
        )
        self.pushes: Final = Counter(
            "mediafleet_scaler_pushes", "Messages on those streams.", ["rpc"], registry=registry
        )
