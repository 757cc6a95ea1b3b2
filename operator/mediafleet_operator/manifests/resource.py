"""A fleet's resource as the operator reads it, and what the engine plans by."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from mediafleet_common.api.ai_worker_pool import AIWorkerPoolSpec
from mediafleet_common.api.container_resources import declared, requested_cpu
from mediafleet_common.api.durations import seconds
from mediafleet_common.api.egress.fleet import EgressFleetSpec
from mediafleet_common.api.egress.placement import PlacementEngine
from mediafleet_common.api.names import API_VERSION, Container
from mediafleet_common.api.pool.on_chain import Rewards
from mediafleet_common.api.pool.orchestrator_pool import LoadSource, OrchestratorPoolSpec
from mediafleet_common.api.scaling.autoscaling import first_replicas
from mediafleet_common.api.shared import FleetStatus
from mediafleet_common.formats.quantities import quantity
from mediafleet_common.redises.endpoints import NotAllowed, Redises
from mediafleet_operator.core.fleet.model import FleetKey, FleetSpec

Spec = EgressFleetSpec | OrchestratorPoolSpec | AIWorkerPoolSpec


class Owner(Protocol):
    """What has children: a fleet, or a CommunityMetrics."""

    @property
    def key(self) -> FleetKey:
        """What it is."""

    @property
    def uid(self) -> str:
        """Its uid."""

    @property
    def owner(self) -> dict[str, Any]:
        """The reference that makes it the owner of what it has made."""


def owner_reference(key: FleetKey, uid: str) -> dict[str, Any]:
    """The reference by which a resource controls an object."""
    return {
        "apiVersion": API_VERSION,
        "kind": key.kind.value,
        "name": key.name,
        "uid": uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }


@dataclass(frozen=True, slots=True)
class Resource:
    """An EgressFleet, OrchestratorPool or AIWorkerPool."""

    key: FleetKey
    uid: str
    resource_version: str
    generation: int
    deleting: bool
    spec: Spec
    status: FleetStatus | None
    redis_problem: str | None = None
    """Why a fleet may not use its Redis; `None` when it may."""
    keda_pause: Mapping[str, str] = field(default_factory=dict)
    """Annotations by which a person pauses KEDA on the resource, for its ScaledObject."""
    template_hash: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "template_hash", template_hash(self.spec))

    @property
    def owner(self) -> dict[str, Any]:
        """The reference that makes it the owner of what it has made."""
        return owner_reference(self.key, self.uid)


def with_redis(resource: Resource, redises: Redises) -> Resource:
    """With the Redis that a fleet uses in place of the name it has for it, if it may use it."""
    spec = resource.spec
    if not isinstance(spec, EgressFleetSpec):
        return resource
    used = redises.of(spec.redis, resource.key.namespace)
    if isinstance(used, NotAllowed):
        return replace(resource, redis_problem=used.why)
    return replace(resource, spec=spec.model_copy(update={"redis": used}))


def is_native(resource: Resource) -> bool:
    """Whether a fleet does without a desk."""
    spec = resource.spec
    return isinstance(spec, EgressFleetSpec) and spec.placement.engine is PlacementEngine.NATIVE


def engine_conflict(resource: Resource, others: Iterable[Resource]) -> str | None:
    """Why a fleet with engine native makes no pods beside these; `None`: nothing is in the way.

    A desk answers every request on its Redis at once, so pods that bid there would get what it does
    not see, or nothing.
    """
    spec = resource.spec
    if not isinstance(spec, EgressFleetSpec) or not is_native(resource):
        return None
    beside = sorted(
        f"{other.key.namespace}/{other.key.name}"
        for other in others
        if isinstance(other.spec, EgressFleetSpec)
        and other.spec.placement.engine is PlacementEngine.SCHEDULER
        and other.spec.redis.same_server(spec.redis)
    )
    if not beside:
        return None
    more = f" and {len(beside) - 3} more" if len(beside) > 3 else ""
    return (
        f"spec.placement.engine native makes no pods beside {', '.join(beside[:3])}{more} with "
        "engine scheduler on the same Redis. Give all fleets of a Redis the same engine."
    )


def fleet_spec(
    resource: Resource, template_problem: str | None, conflict: str | None = None
) -> FleetSpec:
    """What the engine plans by, from a resource."""
    spec = resource.spec
    return FleetSpec(
        key=resource.key,
        uid=resource.uid,
        generation=resource.generation,
        replicas=spec.replicas,
        template_hash=resource.template_hash,
        settle_seconds=spec.settle_seconds,
        drain_timeout_seconds=seconds(spec.drain.timeout),
        on_timeout=spec.drain.on_timeout,
        paused=spec.paused,
        deleting=resource.deleting,
        template_problem=template_problem,
        native=is_native(resource),
        engine_conflict=conflict,
        redis_problem=resource.redis_problem,
        strategy=spec.update.strategy,
        max_surge=spec.update.max_surge,
        max_failures=spec.update.max_failures,
        slots_own_things=isinstance(spec, OrchestratorPoolSpec) and spec.slots_own_things,
        first_replicas=first_replicas(spec.autoscaling),
        last_to_leave=_last_to_leave(spec),
        cpu_declared=_cpu_declared(spec),
        cpu_requested=_cpu_requested(spec),
        grace_seconds=_given_grace(spec),
        costs=_costs(spec),
    )


def _costs(spec: Spec) -> dict[str, float] | None:
    if not isinstance(spec, EgressFleetSpec):
        return None
    by_desk = spec.placement.engine is PlacementEngine.SCHEDULER
    return spec.placement.egress_costs() if by_desk else None


def template_hash(spec: Spec) -> str:
    """Changes whenever pods have to be made anew for what the user wrote.

    It is made from what goes into a pod, not from the pod, so that a new release of the operator
    (another image of its helpers, another way to write a pod) does not replace running workers.
    """
    if isinstance(spec, EgressFleetSpec):
        parts = _egress_parts(spec)
    elif isinstance(spec, OrchestratorPoolSpec):
        parts = _pool_parts(spec)
    else:
        fields = {"models", "secret", "broker", "ca", "stock_worker", "template"}
        parts = spec.model_dump(include=fields, mode="json", exclude_defaults=True)
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:10]


def _egress_parts(spec: EgressFleetSpec) -> dict[str, Any]:
    fields = {"redis", "egress_config", "template"}
    # By what name a Redis goes is nothing to a pod.
    named: dict[str, Any] = {"redis": {"ref"}}
    parts = spec.model_dump(include=fields, exclude=named, mode="json", exclude_defaults=True)
    placement = {"engine", "cpu_cost", "max_cpu_utilization", "max_pulse_clients", "memory"}
    if spec.placement.engine is PlacementEngine.NATIVE:
        # Only then do the pods know of it.
        placement.add("mode")
    parts |= spec.placement.model_dump(include=placement, mode="json", exclude_defaults=True)
    # A default that a later release changes must not look like a change of the user's.
    return {**parts, "image": spec.image}


def _pool_parts(spec: OrchestratorPoolSpec) -> dict[str, Any]:
    fields = {"args", "address", "load_url", "on_chain", "orch_secret", "sessions", "template"}
    # These concern Services, claims and the list alone.
    beside: dict[str, Any] = {
        "address": {"allow_private", "service"},
        "on_chain": {"volume": {"size"}},
    }
    parts = spec.model_dump(include=fields, exclude=beside, mode="json", exclude_defaults=True)
    parts = {key: value for key, value in parts.items() if value != {}}
    if spec.load is LoadSource.LIVE_RUNNERS:
        # Only an agent that is told to asks the node for them.
        parts["load"] = spec.load.value
    if spec.drain_proxy is not None:
        # Nothing but defaults is something here.
        parts["drain_proxy"] = spec.drain_proxy.model_dump(mode="json", exclude_defaults=True)
    return {**parts, "image": spec.image}


def grace_seconds(spec: Spec) -> int:
    """How long a pod may go on after SIGTERM: egress waits for its jobs under it."""
    return max(math.ceil(seconds(spec.drain.timeout)), 30)


def _given_grace(spec: Spec) -> float | None:
    given = spec.template.spec.get("terminationGracePeriodSeconds")
    return given if isinstance(given, int) else None


def _last_to_leave(spec: Spec) -> int | None:
    chain = spec.on_chain if isinstance(spec, OrchestratorPoolSpec) else None
    return 0 if chain is not None and chain.rewards is Rewards.SLOT_0 else None


def _cpu_declared(spec: Spec) -> bool | None:
    if not isinstance(spec, EgressFleetSpec):
        return None
    limits = declared(spec.template.spec, Container.EGRESS, "limits")
    return spec.placement.cpu is not None or quantity(limits.get("cpu")) is not None


def _cpu_requested(spec: Spec) -> float | None:
    if isinstance(spec, EgressFleetSpec):
        return requested_cpu(spec.template.spec, Container.EGRESS)
    if isinstance(spec, OrchestratorPoolSpec):
        return requested_cpu(spec.template.spec, Container.NODE)
    return None
