"""Objects of the API server as slim dataclasses, and those as views. Pure.

A pod belongs to the fleet or pool that is its controller, by uid: anybody who may create pods may
write our labels and annotations on theirs. Among those, one may be given work when the operator's
label says ready, Kubernetes says Ready, and nobody has deleted it; it drains when the label says so
or it is being deleted.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from mediafleet_common.api.ai_worker_pool import AIWorkerPoolSpec
from mediafleet_common.api.egress.costs import RequestType
from mediafleet_common.api.egress.fleet import DEFAULT_MAX_PRIORITY, EgressFleetSpec
from mediafleet_common.api.egress.placement import Placement
from mediafleet_common.api.egress.redis import RedisSpec
from mediafleet_common.api.names import (
    GROUP,
    Annotation,
    Container,
    DrainReason,
    Label,
    PodState,
    Port,
    Reason,
    cluster_id,
)
from mediafleet_common.api.pool import advertise
from mediafleet_common.api.pool.address import AddressType
from mediafleet_common.api.pool.advertise import Advertise, secret_file
from mediafleet_common.api.pool.orchestrator_pool import OrchestratorPoolSpec
from mediafleet_common.api.reading import read_spec
from mediafleet_common.api.scaling.autoscaling import Autoscaling, Engine
from mediafleet_common.formats.hosts import with_port
from mediafleet_common.formats.ip_addresses import IpNetwork
from mediafleet_common.formats.quantities import quantity
from mediafleet_common.formats.reach import PODS, Reach
from mediafleet_common.formats.times import unix
from mediafleet_common.redises.endpoints import Redises
from mediafleet_common.reports import merged_config
from mediafleet_common.reports.readiness import is_ready, serves_unmarked
from mediafleet_scheduler.core.advertise.sources import source
from mediafleet_scheduler.core.advertise.views import Node, PoolView, Reaches, Source
from mediafleet_scheduler.core.egress.queue import queue_rule
from mediafleet_scheduler.core.egress.rooms import room_names
from mediafleet_scheduler.core.egress.views import Fleet, Worker
from mediafleet_scheduler.core.workers.pools import PoolPod, WorkerPool, WorkerPools
from mediafleet_scheduler.core.workers.views import Target

Raw = Mapping[str, Any]
PartT = TypeVar("PartT")
_ENDED: Final = ("Succeeded", "Failed")
UNEXPECTED: Final = (ArithmeticError, AttributeError, KeyError, TypeError, ValueError)
"""What may come of an object that nobody has foreseen."""


@dataclass(frozen=True, slots=True)
class PodFacts:
    """What desks need to know of a pod."""

    namespace: str
    name: str
    uid: str
    owner_uid: str | None
    """Of the fleet or pool that is its controller; `None`: it is nobody's that we know."""
    state: PodState
    drain_started: float | None
    """Unix time."""
    ip: str | None
    address: str | None
    """URL under which gateways reach it; orchestrator nodes only."""
    cpu_cores: float | None
    """limits.cpu of container egress."""
    memory_bytes: int | None
    """limits.memory of container egress."""
    labels: Mapping[str, str]
    was_ready: bool = False
    """Whether it has been Ready, and has not ended since."""
    costs: Mapping[str, float] | None = None
    """`cpu_cost` of the config that an egress pod runs with; `None`: it has not told."""
    drain_reason: DrainReason | None = None
    """Why the operator drains it; `None`: it does not, or does not say."""


@dataclass(frozen=True, slots=True)
class FleetFacts:
    """An EgressFleet."""

    namespace: str
    name: str
    uid: str
    deleting: bool
    spec: EgressFleetSpec
    kept_out: bool = False
    """Whether its status says that its Redis is one of others."""
    forecast: int | None = None
    """Pods that the operator's forecast wants, by its status; `None`: unknown, or there is none."""


@dataclass(frozen=True, slots=True)
class PoolFacts:
    """An OrchestratorPool."""

    namespace: str
    name: str
    uid: str
    deleting: bool
    spec: OrchestratorPoolSpec
    forecast: int | None = None
    """Pods that the operator's forecast wants, by its status; `None`: unknown, or there is none."""


def pod_facts(raw: Raw) -> PodFacts:
    """A pod of a fleet."""
    meta = raw["metadata"]
    labels: Raw = meta.get("labels") or {}
    annotations: Raw = meta.get("annotations") or {}
    limits = _limits(raw.get("spec"), Container.EGRESS)
    memory = quantity(limits.get("memory", ""))
    return PodFacts(
        namespace=meta["namespace"],
        name=meta["name"],
        uid=meta["uid"],
        owner_uid=_owner_uid(meta),
        state=pod_state(raw),
        drain_started=unix(annotations.get(Annotation.DRAIN_STARTED)),
        ip=(raw.get("status") or {}).get("podIP") or None,
        address=annotations.get(Annotation.ADDRESS) or None,
        cpu_cores=quantity(limits.get("cpu", "")),
        memory_bytes=None if memory is None else int(memory),
        labels=dict(labels),
        was_ready=(labels.get(Label.STATE) == PodState.READY or serves_unmarked(raw))
        and (raw.get("status") or {}).get("phase") not in _ENDED,
        costs=_costs(raw),
        drain_reason=_drain_reason(annotations.get(Annotation.DRAIN_REASON)),
    )


def _drain_reason(text: Any) -> DrainReason | None:
    try:
        return DrainReason(text)
    except ValueError:
        # Also without one; and whoever may write annotations may write anything.
        return None


def _costs(raw: Raw) -> Mapping[str, float] | None:
    config = merged_config.of_pod(raw.get("status") or {}, Container.CONFIG)
    return None if config is None else config.costs


def _owner_uid(meta: Raw) -> str | None:
    for owner in meta.get("ownerReferences") or ():
        group = str(owner.get("apiVersion", "")).partition("/")[0]
        if owner.get("controller") and group == GROUP:
            return str(owner["uid"])
    return None


def pod_state(raw: Raw) -> PodState:
    """What a pod is to desks."""
    meta = raw["metadata"]
    label = (meta.get("labels") or {}).get(Label.STATE)
    if label == PodState.DRAINING or meta.get("deletionTimestamp"):
        return PodState.DRAINING
    allowed = label == PodState.READY or serves_unmarked(raw)
    return PodState.READY if allowed and is_ready(raw) else PodState.PENDING


def fleet_facts(raw: Raw) -> FleetFacts:
    """An EgressFleet.

    Raises:
        UnreadableObjectError: its spec is not of this version.
    """
    meta = raw["metadata"]
    spec = read_spec(EgressFleetSpec, raw.get("spec") or {})
    status: Raw = raw.get("status") or {}
    conditions: Iterable[Raw] = status.get("conditions") or ()
    kept_out = any(
        each.get("reason") == Reason.REDIS_OF_OTHERS and each.get("status") == "True"
        for each in conditions
    )
    return FleetFacts(
        meta["namespace"],
        meta["name"],
        meta["uid"],
        "deletionTimestamp" in meta,
        spec,
        kept_out,
        _forecast(raw),
    )


def _forecast(raw: Raw) -> int | None:
    """What the status of a resource that scales says of it."""
    status: Raw = raw.get("status") or {}
    told: Raw = (status.get("autoscaling") or {}).get("forecast") or {}
    wanted: int | None = told.get("wanted")
    return wanted


@dataclass(frozen=True, slots=True)
class WorkerPoolFacts:
    """An AIWorkerPool."""

    namespace: str
    name: str
    uid: str
    spec: AIWorkerPoolSpec
    forecast: int | None = None
    """Pods that the operator's forecast wants, by its status; `None`: unknown, or there is none."""


def worker_pool_facts(raw: Raw) -> WorkerPoolFacts:
    """An AIWorkerPool.

    Raises:
        UnreadableObjectError: its spec is not of this version.
    """
    meta = raw["metadata"]
    spec = read_spec(AIWorkerPoolSpec, raw.get("spec") or {})
    return WorkerPoolFacts(meta["namespace"], meta["name"], meta["uid"], spec, _forecast(raw))


def worker_pools(pools: Iterable[WorkerPoolFacts], pods: Iterable[PodFacts]) -> WorkerPools:
    """All AIWorkerPools and their pods."""
    by_owner: dict[tuple[str, str | None], list[PoolPod]] = {}
    for pod in sorted(pods, key=lambda pod: (pod.name, pod.uid)):
        owner = (pod.namespace, pod.owner_uid)
        by_owner.setdefault(owner, []).append(PoolPod(pod.name, pod.uid, pod.state))
    return WorkerPools(
        tuple(
            WorkerPool(
                pool.namespace,
                pool.name,
                {Target(each.pipeline, each.model): each.capacity for each in pool.spec.models},
                tuple(by_owner.get((pool.namespace, pool.uid), ())),
                pool.forecast,
            )
            for pool in sorted(pools, key=lambda pool: (pool.namespace, pool.name))
        )
    )


def pool_facts(raw: Raw) -> PoolFacts:
    """An OrchestratorPool.

    Raises:
        UnreadableObjectError: its spec is not of this version.
    """
    meta = raw["metadata"]
    spec = read_spec(OrchestratorPoolSpec, raw.get("spec") or {})
    return PoolFacts(
        meta["namespace"],
        meta["name"],
        meta["uid"],
        "deletionTimestamp" in meta,
        spec,
        _forecast(raw),
    )


@dataclass(frozen=True, slots=True)
class Bounds:
    """What the administrator lets fleets say."""

    max_priority: int = DEFAULT_MAX_PRIORITY
    """A priority counts up to this."""
    redises: Redises = field(default_factory=Redises)
    """Which Redis a fleet may use."""


NO_BOUNDS: Final = Bounds()


def fleet_of(
    fleet: FleetFacts, redis: RedisSpec, workers: tuple[Worker, ...], max_priority: int
) -> Fleet:
    """A fleet that may use a Redis, with its pods as `worker_of` has them, by name."""
    placement = fleet.spec.placement
    limits = _limits(fleet.spec.template.spec, Container.EGRESS)
    return Fleet(
        namespace=fleet.namespace,
        name=fleet.name,
        placement=placement,
        accepts=frozenset(fleet.spec.accepts or RequestType),
        redis=redis,
        uid=fleet.uid,
        workers=workers,
        forecast=fleet.forecast,
        pod_cores=placement.cpu or quantity(limits.get("cpu", "")),
        rooms=room_names(fleet.spec.rooms),
        priority=min(fleet.spec.priority, max_priority),
        queue=queue_rule(placement.queue, _autoscales(fleet.spec.autoscaling)),
        kept_out=fleet.kept_out,
    )


def worker_of(fleet: FleetFacts, pod: PodFacts) -> Worker:
    """A pod of a fleet."""
    placement = fleet.spec.placement
    return Worker(
        name=pod.name,
        uid=pod.uid,
        cluster_id=cluster_id(pod.namespace, pod.name, pod.uid),
        metrics_url=_metrics(pod, Port.EGRESS_METRICS),
        cpu_cores=placement.cpu or pod.cpu_cores,
        memory_bytes=pod.memory_bytes,
        state=pod.state,
        was_ready=pod.was_ready,
        counts=_counts(placement, pod),
        drain_reason=pod.drain_reason,
    )


def _counts(placement: Placement, pod: PodFacts) -> Placement | None:
    """What a pod counts jobs by, where that is not what its fleet says today."""
    if pod.costs is None or pod.costs == (costs := placement.egress_costs()):
        return None
    try:
        own = placement.counting_by(pod.costs)
    except ValueError:
        return None
    return None if own.egress_costs() == costs else own


def _autoscales(autoscaling: Autoscaling | None) -> bool:
    return autoscaling is not None and autoscaling.engine is not Engine.NONE


def pool_view(
    namespace: str,
    name: str,
    pool: PoolFacts | None,
    pods: Iterable[PodFacts],
    previous: PoolView | None,
    now: float,
    networks: tuple[IpNetwork, ...] = (),
) -> PoolView:
    """One pool and its pods; `now` (Unix) is when a change against `previous` was seen.

    `networks`: private ones that the administrator allows to be dialled.

    A pool that is gone or being deleted has no nodes to tell of.
    """
    if pool is None or pool.deleting:
        return PoolView(namespace, name, Advertise(), ())
    known = {node.uid: node for node in previous.nodes} if previous else {}
    spec = pool.spec
    reaches = _reaches(namespace, networks)
    # Only a template's host is the word of the resource; other addresses the operator finds.
    named = spec.address.type is AddressType.TEMPLATE
    nodes = tuple(
        Node(
            name=pod.name,
            uid=pod.uid,
            url=pod.address or "",
            metrics_url=_metrics(pod, Port.AGENT),
            state=pod.state,
            changed_at=_changed_at(pod, known.get(pod.uid), now if previous else None),
            region=pod.labels.get(spec.advertise.region_label) or spec.advertise.region,
            pod_url=_pod_url(pod, spec.address.scheme, spec.address.port),
            was_ready=pod.was_ready,
            reach=reaches.own if named else reaches.pods,
            models=tuple(spec.advertise.models),
        )
        for pod in sorted(pods, key=lambda pod: (pod.name, pod.uid))
        if pod.owner_uid == pool.uid and pod.namespace == namespace
    )
    sources = sorted(map(_source, spec.advertise.sources), key=lambda each: each.name)
    return PoolView(
        namespace,
        name,
        spec.advertise,
        nodes,
        spec.load,
        spec.sessions.max,
        tuple(sources),
        reaches,
        pool.forecast,
    )


def _reaches(namespace: str, networks: tuple[IpNetwork, ...]) -> Reaches:
    own = Reach(networks=networks, services_of=namespace)
    return Reaches(own, PODS, Reach(networks=networks))


def _source(entry: advertise.Source) -> Source:
    return source(
        entry,
        secret_file(entry.name, "token") if entry.token_secret else None,
        secret_file(entry.name, "ca") if entry.ca_secret else None,
    )


def _changed_at(pod: PodFacts, known: Node | None, now: float | None) -> float | None:
    if known is not None and known.state is pod.state:
        return known.changed_at
    if pod.state is PodState.DRAINING and now is not None:
        return pod.drain_started or now
    # Conditions carry whole seconds only, too coarse for what is measured with this.
    return now


def _metrics(pod: PodFacts, port: int) -> str | None:
    url = _pod_url(pod, "http", port)
    return None if url is None else f"{url}/metrics"


def _pod_url(pod: PodFacts, scheme: str, port: int) -> str | None:
    if pod.ip is None:
        return None
    return f"{scheme}://{with_port(pod.ip, port)}"


def _limits(spec: Any, container: str) -> Raw:
    """The limits of a container. In a template there may be anything in its place."""
    for each in _part(spec, "containers", list) or ():
        if _part(each, "name", str) == container:
            return _part(_part(each, "resources", dict), "limits", dict) or {}
    return {}


def _part(whole: Any, key: str, kind: type[PartT]) -> PartT | None:
    value = whole.get(key) if isinstance(whole, dict) else None
    return value if isinstance(value, kind) else None
