"""Objects of the API server as the slim dataclasses that the engine knows. Pure.

Field names: kubernetes staging/src/k8s.io/api/core/v1/types.go.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, TypeVar

from pydantic import ValidationError

from mediafleet_common.api.egress_fleet import EgressFleetSpec, EgressFleetStatus
from mediafleet_common.api.names import (
    KIND_LABELS,
    Annotation,
    Container,
    DrainReason,
    Kind,
    Label,
    PodState,
)
from mediafleet_common.api.orchestrator_pool import OrchestratorPoolSpec, OrchestratorPoolStatus
from mediafleet_common.api.shared import FleetStatus
from mediafleet_operator.core.model import FleetKey, PodView
from mediafleet_operator.kube import containers
from mediafleet_operator.manifests.resource import Resource, Spec

Raw = Mapping[str, Any]
WordT = TypeVar("WordT", bound=StrEnum)
WORK: Final = {Kind.EGRESS_FLEET: Container.EGRESS, Kind.ORCHESTRATOR_POOL: Container.NODE}
"""The container that has the jobs."""
_KINDS: Final = {label.value: kind for kind, label in KIND_LABELS.items()}
_CORDON_TAINT: Final = "node.kubernetes.io/unschedulable"
_MODELS: Final[dict[Kind, tuple[type[Spec], type[FleetStatus]]]] = {
    Kind.EGRESS_FLEET: (EgressFleetSpec, EgressFleetStatus),
    Kind.ORCHESTRATOR_POOL: (OrchestratorPoolSpec, OrchestratorPoolStatus),
}


class UnreadableObjectError(ValueError):
    """An object that is not what the operator knows; the text says what."""


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
    silent_since: float | None
    """Since when its condition Ready is not true."""


def resource(raw: Raw, kind: Kind) -> Resource:
    """An EgressFleet or OrchestratorPool.

    Raises:
        UnreadableObjectError: its spec is not of this operator's version.
    """
    meta = raw["metadata"]
    spec_model, status_model = _MODELS[kind]
    try:
        spec = spec_model.model_validate(_plain(raw.get("spec") or {}))
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in ("spec", *first["loc"]))
        raise UnreadableObjectError(f"{field}: {first['msg']}") from error
    try:
        status = status_model.model_validate(_plain(raw.get("status") or {}))
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
    )


def node(raw: Raw) -> Node:
    """A Kubernetes node."""
    ready = _condition(raw, "Ready")
    silent = None
    if ready is not None and ready.get("status") != "True":
        silent = unix(ready.get("lastTransitionTime")) or 0.0
    return Node(
        name=raw["metadata"]["name"],
        cordoned=bool((raw.get("spec") or {}).get("unschedulable")),
        silent_since=silent,
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
    owners = (each for each in meta.get("ownerReferences") or () if each.get("controller"))
    owner = next(owners, None)
    return Pod(
        key=FleetKey(kind, meta["namespace"], fleet),
        owner_uid=owner["uid"] if owner else None,
        tolerates_cordon=_tolerates_cordon((raw.get("spec") or {}).get("tolerations") or ()),
        view=_view(raw, kind, slot, labels),
    )


def unix(text: object) -> float | None:
    """Unix time of an RFC 3339 text; `None` when it is none."""
    if not isinstance(text, str):
        return None
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        return None


def _view(raw: Raw, kind: Kind, slot: int, labels: Mapping[str, str]) -> PodView:
    meta = raw["metadata"]
    spec: Raw = raw.get("spec") or {}
    status: Raw = raw.get("status") or {}
    annotations: Mapping[str, str] = meta.get("annotations") or {}
    ready = (_condition(raw, "Ready") or {}).get("status") == "True"
    trouble, complaint = containers.trouble(status, ready=ready)
    scheduled = _condition(raw, "PodScheduled") or {}
    unschedulable = scheduled.get("status") == "False"
    over = containers.over(status)
    return PodView(
        name=meta["name"],
        uid=meta["uid"],
        resource_version=meta["resourceVersion"],
        slot=slot,
        template=labels.get(Label.TEMPLATE, ""),
        state=_word(PodState, labels.get(Label.STATE)) or PodState.READY,
        created_at=unix(meta.get("creationTimestamp")) or 0.0,
        ready=ready,
        deleting="deletionTimestamp" in meta,
        over=over,
        trouble=trouble,
        complaint=(status.get("message") if over else None)
        or (scheduled.get("message") if unschedulable else None)
        or complaint,
        unschedulable_since=unix(scheduled.get("lastTransitionTime")) if unschedulable else None,
        cordoned=annotations.get(Annotation.CORDONED) == "true",
        drain_started=unix(annotations.get(Annotation.DRAIN_STARTED)),
        drain_reason=_word(DrainReason, annotations.get(Annotation.DRAIN_REASON)),
        node=spec.get("nodeName"),
        ip=status.get("podIP"),
        work_running=False if over else containers.running(status, WORK[kind]),
        busy_label=labels.get(Label.BUSY) == "true",
        address=annotations.get(Annotation.ADDRESS),
    )


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


def _plain(value: Any) -> Any:
    """kopf hands out views; pydantic wants dictionaries and lists."""
    if isinstance(value, Mapping):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return value
