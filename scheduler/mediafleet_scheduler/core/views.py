"""What desks know of fleets, pools and their pods, whoever told it: frozen snapshots."""

from __future__ import annotations

from dataclasses import dataclass

from mediafleet_common.api.advertise import Advertise
from mediafleet_common.api.egress_fleet import Placement, RedisSpec, RequestType
from mediafleet_common.api.names import PodState
from mediafleet_common.api.orchestrator_pool import LoadSource
from mediafleet_scheduler.core.queue import NO_QUEUE, QueueRule
from mediafleet_scheduler.core.rooms import ALL_ROOMS, RoomNames


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

    @property
    def key(self) -> str:
        """`namespace/name`, unique among the fleets of a desk."""
        return f"{self.namespace}/{self.name}"

    @property
    def rank(self) -> tuple[int, str, str]:
        """Of fleets that take a request, the order in which they are tried."""
        return (-self.priority, self.name, self.namespace)

    def takes(self, kind: RequestType, room: str) -> bool:
        """Whether requests of a type for a room (empty: none) are this fleet's."""
        return kind in self.accepts and self.rooms.take(room)


@dataclass(frozen=True, slots=True)
class EgressView:
    """All fleets a desk serves, by key."""

    fleets: tuple[Fleet, ...]
    native: tuple[Fleet, ...] = ()
    """Those with engine native, which no desk serves."""


@dataclass(frozen=True, slots=True)
class Node:
    """One orchestrator pod, or one entry of the nodes file."""

    name: str
    uid: str
    url: str
    """As the gateway reaches it; not yet checked."""
    metrics_url: str | None
    state: PodState
    changed_at: float | None = None
    """Unix time of the change that brought it to this state (pod Ready, drain started), if told;
    for the metrics that say how old news was when it took effect."""
    source: str | None = None
    """Who told of it; `None`: the pool itself."""
    weight: float = 1.0
    """Its share with order by_gateway, against others of the same room."""
    pod_url: str | None = None
    """Where it answers inside the cluster, if that is known."""
    region: str | None = None
    """As its label says, or whoever told of it."""
    was_ready: bool = False
    """Whether it has been Ready, be it now or not: one that is pending may then have sessions."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where nodes in other places are told of."""

    name: str
    urls: tuple[str, ...]
    """Nodes that are there in any case."""
    list_url: str | None
    """JSON list of another advertiser."""
    weight: float
    stale_after_seconds: float
    token_file: str | None
    ca_file: str | None
    region: str | None = None


@dataclass(frozen=True, slots=True)
class PoolView:
    """The pool an advertiser answers for."""

    namespace: str
    name: str
    advertise: Advertise
    nodes: tuple[Node, ...]
    """By name."""
    load: LoadSource = LoadSource.TRANSCODE
    """What the nodes' metrics are read for."""
    sessions_max: int | None = None
    """Sessions a node takes, where its metrics do not say."""
    sources: tuple[Source, ...] = ()
    """By name."""


def is_away(pod: Worker | Node) -> bool:
    """Whether a pod has been Ready and is not now, and does not drain: its node or kubelet may be
    away, and what it had may still run."""
    return pod.was_ready and pod.state is PodState.PENDING
