"""How an egress worker counts and admits, written from upstream's rules and not from our product's.

A stand-in that shared the product's code would agree with its mistakes. Pure.

Source: livekit/egress pkg/stats/monitor.go (canAcceptRequestLocked, getCPUUsageLocked,
costsForRequest, AcceptRequest, checkMemoryAdmissionLocked), pkg/stats/monitor_prom.go
(requestTypeFromReq), pkg/config.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from livekit.protocol import egress as livekit

from mediafleet_common.wire.egress_pb2 import StartEgressRequest

HOLD_SECONDS: Final = 15.0
PULSE_CLIENT_HOLD: Final = 4
IDLE_PULSE_CLIENTS: Final = 1
WEB_PULSE_CLIENTS: Final = 2
ROOM_PULSE_CLIENTS: Final = 4
RESTING_GB: Final = 98 / 1024
"""Memory of the worker itself (seen on 1.14.1)."""
MAX_PULSE_CLIENTS: Final = 60
MEMORY_HEADROOM_GB: Final = 1.0
DEFAULT_COSTS: Final[Mapping[str, float]] = {
    "room_composite": 4.0,
    "audio_room_composite": 1.0,
    "sdk_audio_room_composite": 1.0,
    "web": 4.0,
    "audio_web": 1.0,
    "participant": 2.0,
    "track_composite": 1.0,
    "track": 0.5,
}
_INNER: Final[Mapping[str, Any]] = {
    "room_composite": livekit.RoomCompositeEgressRequest,
    "web": livekit.WebEgressRequest,
    "participant": livekit.ParticipantEgressRequest,
    "track_composite": livekit.TrackCompositeEgressRequest,
    "track": livekit.TrackEgressRequest,
    "egress": livekit.StartEgressRequest,
    "replay": livekit.ExportReplayRequest,
}


@dataclass(frozen=True, slots=True)
class Asked:
    """What a request asks for, as the worker counts it."""

    metric_type: str
    """Label of `livekit_egress_requests`."""
    cost: str
    """Key of the cost table."""
    pulse_clients: int = 0
    """PulseAudio clients that it has while it runs (seen on 1.14.1)."""

    @property
    def chrome(self) -> bool:
        """Whether it needs Chrome, and so PulseAudio clients."""
        return self.pulse_clients > 0


def inner(request: StartEgressRequest) -> tuple[str, Any]:
    """Kind and message inside a request.

    Raises:
        ValueError: there is none, or it cannot be read.
    """
    kind = request.WhichOneof("request")
    if kind is None:
        raise ValueError("request has missing or invalid field: request")
    return kind, _INNER[kind].FromString(getattr(request, kind))


def asked(request: StartEgressRequest) -> Asked:
    """How a request counts."""
    kind, message = inner(request)
    if kind in ("egress", "replay"):
        return _v2(message)
    if kind == "room_composite":
        return _template(kind, message)
    if kind == "web":
        return _web(kind, message)
    return Asked(kind, kind)


def _v2(message: Any) -> Asked:
    # A getter of Go's: 0 when the request has advanced options instead.
    passthrough = message.preset == livekit.EncodingOptionsPreset.PASSTHROUGH
    source = message.WhichOneof("source")
    metric_type = "track" if passthrough else source or "unknown"
    if source == "template":
        return _template(metric_type, message.template)
    if source == "web":
        return _web(metric_type, message.web)
    return Asked(metric_type, "track" if passthrough else "participant")


def _web(metric_type: str, message: Any) -> Asked:
    return Asked(metric_type, "audio_web" if message.audio_only else "web", WEB_PULSE_CLIENTS)


def _template(metric_type: str, message: Any) -> Asked:
    if not message.audio_only:
        return Asked(metric_type, "room_composite", ROOM_PULSE_CLIENTS)
    if message.layout or message.custom_base_url:
        return Asked(metric_type, "audio_room_composite", ROOM_PULSE_CLIENTS)
    return Asked(metric_type, "sdk_audio_room_composite")


@dataclass(frozen=True, slots=True)
class Memory:
    """`cpu_cost.max_memory` and what belongs to it, in GB."""

    max_gb: float = 0.0
    """0: memory is not looked at."""
    cost_gb: float = 0.0
    sdk_audio_cost_gb: float | None = None

    def of(self, cost: str) -> float:
        """What a new job is counted with, by its key of the cost table."""
        if cost == "sdk_audio_room_composite" and self.sdk_audio_cost_gb is not None:
            return self.sdk_audio_cost_gb
        return self.cost_gb


@dataclass(slots=True)
class _Running:
    held_cpu: float
    real_cpu: float
    held_until: float
    pulse_clients: int
    real_gb: float

    def cpu(self, now: float) -> float:
        held = self.held_cpu if now < self.held_until else 0.0
        return max(held, self.real_cpu)


@dataclass(frozen=True, slots=True)
class _Held:
    """What a new job is counted with beside what it uses; upstream holds it past the job's end."""

    until: float
    gb: float
    pulse_clients: int


@dataclass(slots=True)
class Admission:
    """What a worker admits. Times are seconds of any one clock."""

    cpus: float
    max_cpu_utilization: float = 0.8
    costs: Mapping[str, float] = field(default_factory=lambda: dict(DEFAULT_COSTS))
    real_share: float = 0.5
    """CPUs and memory that a job really uses, as a share of its cost."""
    memory: Memory = Memory()
    max_pulse_clients: int = MAX_PULSE_CLIENTS
    _running: dict[str, _Running] = field(default_factory=dict)
    _held: list[_Held] = field(default_factory=list)

    @property
    def idle(self) -> bool:
        """Whether nothing runs."""
        return not self._running

    def used(self, now: float) -> float:
        """CPUs that count as used."""
        return sum(job.cpu(now) for job in self._running.values())

    def really_used(self) -> float:
        """CPUs that the jobs really use."""
        return sum(job.real_cpu for job in self._running.values())

    def really_used_gb(self) -> float:
        """Memory that the worker and its jobs really use."""
        return RESTING_GB + sum(job.real_gb for job in self._running.values())

    def pulse_clients(self) -> int:
        """PulseAudio clients that are there."""
        return IDLE_PULSE_CLIENTS + sum(job.pulse_clients for job in self._running.values())

    def can_accept(self, request: StartEgressRequest, now: float) -> bool:
        """Whether the worker would take it."""
        job = asked(request)
        self._held = [held for held in self._held if now < held.until]
        if self.memory.max_gb:
            used = self.really_used_gb() + sum(held.gb for held in self._held)
            if used + self.memory.of(job.cost) + MEMORY_HEADROOM_GB >= self.memory.max_gb:
                return False
        if job.chrome:
            clients = self.pulse_clients() + sum(held.pulse_clients for held in self._held)
            if clients + PULSE_CLIENT_HOLD > self.max_pulse_clients:
                return False
        available = self.cpus
        if self._running:
            available = self.cpus * self.max_cpu_utilization - self.used(now)
        return available >= (request.estimated_cpu or self.costs[job.cost])

    def started(self, request: StartEgressRequest, now: float) -> None:
        """Hold what a request costs: the configured cost, whatever was estimated."""
        job = asked(request)
        cost = self.costs[job.cost]
        gb, until = self.memory.of(job.cost), now + HOLD_SECONDS
        self._running[request.egress_id] = _Running(
            cost, cost * self.real_share, until, job.pulse_clients, gb * self.real_share
        )
        self._held.append(_Held(until, gb, PULSE_CLIENT_HOLD if job.chrome else 0))

    def ended(self, egress_id: str) -> None:
        """Forget a job."""
        self._running.pop(egress_id, None)
