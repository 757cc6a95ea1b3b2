"""Objects of the API server as the slim dataclasses that the engine knows. Pure.

Field names: kubernetes staging/src/k8s.io/api/core/v1/types.go.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, TypeVar

from pydantic import ValidationError

from mediafleet_common.api.ai_worker_pool import AIWorkerPoolSpec, AIWorkerPoolStatus
from mediafleet_common.api.egress.fleet import EgressFleetSpec, EgressFleetStatus
from mediafleet_common.api.names import (
    KEDA_PAUSE,
    KIND_LABELS,
    SERVING_GATE,
    Annotation,
    Container,
    DrainReason,
    Kind,
    Label,
    PodState,
)
from mediafleet_common.api.pool.orchestrator_pool import (
    OrchestratorPoolSpec,
    OrchestratorPoolStatus,
)
from mediafleet_common.api.reading import read_spec
from mediafleet_common.api.shared import FleetStatus
from mediafleet_common.formats.times import unix
from mediafleet_common.reports import merged_config
from mediafleet_common.reports.readiness import is_ready, serves_unmarked
from mediafleet_operator.core.fleet.model import FleetKey, PodView
from mediafleet_operator.kube import containers
from mediafleet_operator.manifests.resource import Resource, Spec

Raw = Mapping[str, Any]
WordT = TypeVar("WordT", bound=StrEnum)
WORK: Final = {
    Kind.EGRESS_FLEET: Container.EGRESS,
    Kind.ORCHESTRATOR_POOL: Container.NODE,
    Kind.AI_WORKER_POOL: Container.WORKER,
}
"""The container that has the jobs."""
_KINDS: Final = {label.value: kind for kind, label in KIND_LABELS.items()}
_CORDON_TAINT: Final = "node.kubernetes.io/unschedulable"
_LEAVING_TAINTS: Final = frozenset(
    {
        # kubernetes/autoscaler cluster-autoscaler/utils/taints/taints.go; its candidate's taint
        # is only a thought, and is taken back.
        "ToBeDeletedByClusterAutoscaler",
        # kubernetes-sigs/karpenter pkg/apis/v1/taints.go, and the key of v1beta1.
        "karpenter.sh/disrupted",
        "karpenter.sh/disruption",
        # kubernetes/cloud-provider api/well_known_taints.go
        "node.cloudprovider.kubernetes.io/shutdown",
        # kubernetes/api core/v1/well_known_taints.go
        "node.kubernetes.io/out-of-service",
        # GKE, before it takes a node for maintenance or as a spot VM.
        "cloud.google.com/impending-node-termination",
        # aws/aws-node-termination-handler pkg/node/node.go
        "aws-node-termination-handler/spot-itn",
        "aws-node-termination-handler/scheduled-maintenance",
        "aws-node-termination-handler/asg-lifecycle-termination",
        "aws-node-termination-handler/rebalance-recommendation",
    }
)
"""Notice that a node ends, whatever its pods tolerate."""
_MODELS: Final[dict[Kind, tuple[type[Spec], type[FleetStatus]]]] = {
    Kind.EGRESS_FLEET: (EgressFleetSpec, EgressFleetStatus),
    Kind.ORCHESTRATOR_POOL: (OrchestratorPoolSpec, OrchestratorPoolStatus),
    Kind.AI_WORKER_POOL: (AIWorkerPoolSpec, AIWorkerPoolStatus),
}


@dataclass(frozen=True, slots=True)
class Pod:
    """A pod and what only the observer has to know of it."""

    key: FleetKey
    """The fleet that its labels name."""
    owner_uid: str | None
    tolerates_cordon: bool
    view: PodView


@dataclass(frozen=True, slots=True)
class Node:
    """A Kubernetes node."""

    name: str
    cordoned: bool
    leaving: bool
    """Whether it has notice that it ends: a spot VM, or an autoscaler's choice."""
    silent_since: float | None
    """Since when its condition Ready is not true."""
    external_ip: str | None = None
    internal_ip: str | None = None


@dataclass(frozen=True, slots=True)
class SlotService:
    """The Service of a slot."""

    key: FleetKey
    """The pool that its labels name."""
    slot: int
    name: str
    uid: str
    resource_version: str
    owner_uid: str | None
    deleting: bool
    node_port: int | None
    ingress: str | None
    """Address or name of its load balancer."""


def resource(raw: Raw, kind: Kind) -> Resource:
    """An EgressFleet, OrchestratorPool or AIWorkerPool.

    Raises:
        UnreadableObjectError: its spec is not of this operator's version.
    """
    meta = raw["metadata"]
    spec_model, status_model = _MODELS[kind]
    spec = read_spec(spec_model, raw.get("spec") or {})
    try:
        status = status_model.model_validate(raw.get("status") or {}, extra="ignore")
    except ValidationError:
        # Another version's: it is written anew in any case.
        status = None
    return Resource(
        key=FleetKey(kind, meta["namespace"], meta["name"]),
        uid=meta["uid"],
        resource_version=meta["resourceVersion"],
        generation=meta.get("generation", 0),
        deleting="deletionTimestamp" in meta,
        spec=spec,
        status=status,
        keda_pause={
            name: value
            for name, value in (meta.get("annotations") or {}).items()
            if name.startswith(KEDA_PAUSE)
        },
    )


def node(raw: Raw) -> Node:
    """A Kubernetes node."""
    ready = _condition(raw, "Ready")
    silent = None
    if ready is not None and ready.get("status") != "True":
        silent = unix(ready.get("lastTransitionTime")) or 0.0
    spec: Raw = raw.get("spec") or {}
    return Node(
        name=raw["metadata"]["name"],
        cordoned=bool(spec.get("unschedulable")),
        leaving=any(each.get("key") in _LEAVING_TAINTS for each in spec.get("taints") or ()),
        silent_since=silent,
        external_ip=_node_address(raw, "ExternalIP"),
        internal_ip=_node_address(raw, "InternalIP"),
    )


def _node_address(raw: Raw, kind: str) -> str | None:
    addresses: Iterable[Raw] = (raw.get("status") or {}).get("addresses") or ()
    return next((each.get("address") for each in addresses if each.get("type") == kind), None)


def slot_service(raw: Raw) -> SlotService | None:
    """A Service that has our labels; `None` when they do not name a slot of a fleet."""
    meta = raw["metadata"]
    labels: Mapping[str, str] = meta.get("labels") or {}
    kind, fleet = _KINDS.get(labels.get(Label.KIND, "")), labels.get(Label.FLEET)
    slot = labels.get(Label.SLOT, "")
    if kind is None or not fleet or not (slot.isascii() and slot.isdigit()):
        return None
    ports: Iterable[Raw] = (raw.get("spec") or {}).get("ports") or ()
    balancer: Raw = (raw.get("status") or {}).get("loadBalancer") or {}
    ingress: Raw = next(iter(balancer.get("ingress") or ()), {})
    return SlotService(
        key=FleetKey(kind, meta["namespace"], fleet),
        slot=int(slot),
        name=meta["name"],
        uid=meta["uid"],
        resource_version=meta["resourceVersion"],
        owner_uid=controller_uid(meta),
        deleting="deletionTimestamp" in meta,
        node_port=next((each.get("nodePort") for each in ports), None),
        ingress=ingress.get("ip") or ingress.get("hostname"),
    )


def pod(raw: Raw) -> Pod | None:
    """A pod that has our labels; `None` when they do not name a fleet."""
    meta = raw["metadata"]
    labels: Mapping[str, str] = meta.get("labels") or {}
    kind = _KINDS.get(labels.get(Label.KIND, ""))
    fleet = labels.get(Label.FLEET)
    slot = _slot(labels.get(Label.SLOT), meta["name"])
    if kind is None or not fleet or slot is None:
        return None
    return Pod(
        key=FleetKey(kind, meta["namespace"], fleet),
        owner_uid=controller_uid(meta),
        tolerates_cordon=_tolerates_cordon((raw.get("spec") or {}).get("tolerations") or ()),
        view=_view(raw, kind, slot, labels),
    )


def controller_uid(meta: Raw) -> str | None:
    """The uid of the owner that controls an object with these metadata, if one does."""
    owners: Iterable[Raw] = meta.get("ownerReferences") or ()
    return next((each["uid"] for each in owners if each.get("controller")), None)


def _view(raw: Raw, kind: Kind, slot: int, labels: Mapping[str, str]) -> PodView:
    meta = raw["metadata"]
    spec: Raw = raw.get("spec") or {}
    status: Raw = raw.get("status") or {}
    annotations: Mapping[str, str] = meta.get("annotations") or {}
    ready, unmarked = is_ready(raw), serves_unmarked(raw)
    trouble, complaint = containers.trouble(status, ready=ready)
    scheduled = _condition(raw, "PodScheduled") or {}
    unschedulable = scheduled.get("status") == "False"
    over = containers.over(status)
    restarts, last_end = containers.restarts(status)
    gates: Iterable[Raw] = spec.get("readinessGates") or ()
    gate: Raw | None = None
    if any(each.get("conditionType") == SERVING_GATE for each in gates):
        gate = _condition(raw, SERVING_GATE) or {}
    return PodView(
        name=meta["name"],
        uid=meta["uid"],
        resource_version=meta["resourceVersion"],
        slot=slot,
        template=labels.get(Label.TEMPLATE, ""),
        state=PodState.READY
        if unmarked
        else _word(PodState, labels.get(Label.STATE)) or PodState.READY,
        unmarked=unmarked,
        created_at=unix(meta.get("creationTimestamp")) or 0.0,
        ready=ready,
        deleting="deletionTimestamp" in meta,
        over=over,
        trouble=trouble,
        restarts=restarts,
        last_end=last_end,
        complaint=(status.get("message") if over else None)
        or (scheduled.get("message") if unschedulable else None)
        or complaint,
        unschedulable_since=unix(scheduled.get("lastTransitionTime")) if unschedulable else None,
        cordoned=annotations.get(Annotation.CORDONED) == "true",
        drain_started=unix(annotations.get(Annotation.DRAIN_STARTED)),
        drain_reason=_word(DrainReason, annotations.get(Annotation.DRAIN_REASON)),
        node=spec.get("nodeName"),
        ip=status.get("podIP"),
        host_ip=status.get("hostIP"),
        work_running=False if over else containers.running(status, WORK[kind]),
        busy_label=labels.get(Label.BUSY) == "true",
        busy_at=unix(annotations.get(Annotation.BUSY_AT)),
        config=merged_config.of_pod(status, Container.CONFIG),
        address=annotations.get(Annotation.ADDRESS),
        service_addr=annotations.get(Annotation.SERVICE_ADDR),
        proxied=any(each.get("name") == Container.DRAIN_PROXY for each in _containers(spec)),
        refuse_from=unix(annotations.get(Annotation.REFUSE_FROM)),
        gate_open=None if gate is None else gate.get("status") == "True",
        gate_shut_at=unix(gate.get("lastTransitionTime"))
        if gate and gate.get("status") == "False"
        else None,
    )


def _containers(spec: Raw) -> Iterable[Raw]:
    return spec.get("containers") or ()


def _condition(raw: Raw, name: str) -> Raw | None:
    conditions: Iterable[Raw] = (raw.get("status") or {}).get("conditions") or ()
    return next((each for each in conditions if each.get("type") == name), None)


def _tolerates_cordon(tolerations: Iterable[Raw]) -> bool:
    return any(
        each.get("key") in (_CORDON_TAINT, None, "") and each.get("operator") == "Exists"
        for each in tolerations
        if each.get("effect") in (None, "", "NoSchedule")
    )


def _slot(label: str | None, name: str) -> int | None:
    for text in (label, name.rpartition("-")[2]):
        if text and text.isascii() and text.isdigit():
            return int(text)
    return None


def _word(words: type[WordT], text: str | None) -> WordT | None:
    try:
        return words(text or "")
    except ValueError:
        return None
