"""What the advertiser knows of a pool and its nodes, from either directory: frozen snapshots."""

from __future__ import annotations

from dataclasses import dataclass

from mediafleet_common.api.names import PodState
from mediafleet_common.api.pool.advertise import Advertise
from mediafleet_common.api.pool.orchestrator_pool import LoadSource
from mediafleet_common.formats.reach import PODS, PUBLIC, Reach


@dataclass(frozen=True, slots=True)
class Reaches:
    """Which addresses may be dialled for a pool, by who names them."""

    own: Reach = PUBLIC
    """The resource, or the user's file."""
    pods: Reach = PODS
    """Kubernetes and the operator, of our own pods; or the user's file."""
    foreign: Reach = PUBLIC
    """Lists from elsewhere, and heads."""


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
    """Unix time of the change that brought it to this state (pod Ready, drain started), if known;
    for the metrics of how fast changes take effect."""
    source: str | None = None
    """The source that listed it; `None`: the pool itself."""
    weight: float = 1.0
    """Its share with order by_gateway, against others of the same room."""
    pod_url: str | None = None
    """Where it answers inside the cluster, if that is known."""
    region: str | None = None
    """As its label or its source says."""
    was_ready: bool = False
    """Whether it has been Ready, be it now or not: one that is pending may then have sessions."""
    reach: Reach = PUBLIC
    """Which addresses its URL may lead to."""
    models: tuple[str, ...] = ()
    """AI models that are declared for it, as PIPELINE/MODEL, for as long as it tells none."""


@dataclass(frozen=True, slots=True)
class Source:
    """A list of nodes in another place."""

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
    reaches: Reaches = Reaches()
    """What may be dialled for it."""
    forecast: int | None = None
    """Pods that the operator's forecast wants; `None`: unknown, or there is none."""
