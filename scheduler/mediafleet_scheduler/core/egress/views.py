"""What the egress desk knows of fleets and their pods, from either directory: frozen snapshots."""

from __future__ import annotations

from dataclasses import dataclass

from mediafleet_common.api.egress.costs import RequestType
from mediafleet_common.api.egress.placement import Placement
from mediafleet_common.api.egress.redis import RedisSpec
from mediafleet_common.api.names import DrainReason, PodState
from mediafleet_scheduler.core.egress.queue import NO_QUEUE, QueueRule
from mediafleet_scheduler.core.egress.rooms import ALL_ROOMS, RoomNames


@dataclass(frozen=True, slots=True)
class Worker:
    """One egress pod, or one entry of the workers file."""

    name: str
    uid: str
    """Tells a pod from an earlier one of the same name; a file's worker has its cluster_id."""
    cluster_id: str
    """Its psrpc topic."""
    metrics_url: str | None
    """`None`: its load is unknown."""
    cpu_cores: float | None
    """CPUs of the pod; `None`: unknown, so nothing is placed on it by CPU."""
    memory_bytes: int | None
    state: PodState
    was_ready: bool = False
    """Whether it has been Ready, be it now or not: one that is pending may then have jobs."""
    counts: Placement | None = None
    """What it counts jobs by, as it told; `None`: by its fleet's placement."""
    drain_reason: DrainReason | None = None
    """Why the operator drains it; `None`: it does not, or does not say."""


@dataclass(frozen=True, slots=True)
class Fleet:
    """One egress fleet."""

    namespace: str
    """Empty for a fleet from a file."""
    name: str
    placement: Placement
    accepts: frozenset[RequestType]
    """All of them when the resource says nothing."""
    redis: RedisSpec | None
    """`None`: the Redis that the desk was started with."""
    workers: tuple[Worker, ...]
    """By name."""
    pod_cores: float | None = None
    """CPUs that a pod yet to come would have; `None`: unknown."""
    uid: str = ""
    """Of its resource; empty for a fleet from a file."""
    rooms: RoomNames = ALL_ROOMS
    priority: int = 0
    """The highest is tried first."""
    queue: QueueRule = NO_QUEUE
    kept_out: bool = False
    """Whether its status says that its Redis is one of others."""
    forecast: int | None = None
    """Pods that the operator's forecast wants; `None`: unknown, or there is none."""

    @property
    def key(self) -> str:
        """`namespace/name`, unique among the fleets of a desk."""
        return f"{self.namespace}/{self.name}"

    @property
    def rank(self) -> tuple[int, str, str]:
        """Of fleets that take a request, the order in which they are tried."""
        return (-self.priority, self.name, self.namespace)

    def counts(self, worker: Worker) -> Placement:
        """What a pod of the fleet counts jobs by, and so what the desk counts there."""
        return worker.counts or self.placement

    def takes(self, kind: RequestType, room: str) -> bool:
        """Whether requests of a type for a room (empty: none) are this fleet's."""
        return kind in self.accepts and self.rooms.take(room)


@dataclass(frozen=True, slots=True)
class EgressView:
    """All fleets a desk serves, by key."""

    fleets: tuple[Fleet, ...]
    native: tuple[Fleet, ...] = ()
    """Those with engine native, which no desk serves."""
