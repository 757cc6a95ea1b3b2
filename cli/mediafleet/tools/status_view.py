"""What `mediafleet status` shows, from resources and pods as the API server gives them. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from mediafleet_common.api.names import KIND_LABELS, Annotation, Condition, Kind, Label
from mediafleet_common.formats.times import unix
from mediafleet_common.reports.readiness import serves_unmarked

Raw = Mapping[str, Any]
WORK: Final = {
    Kind.EGRESS_FLEET: ("jobs", "jobs"),
    Kind.ORCHESTRATOR_POOL: ("sessions", "sessions"),
    Kind.AI_WORKER_POOL: ("tasks", "inUse"),
}
"""What a kind's pods do, and the field of its status that counts it."""
ALARMING: Final = {
    Condition.READY: "False",
    Condition.DEGRADED: "True",
    Condition.PAUSED: "True",
    Condition.TEMPLATE_VALID: "False",
    Condition.CPU_UNKNOWN: "True",
    Condition.ADDRESS_READY: "False",
    Condition.ADDRESS_VERIFIED: "False",
    Condition.NODES_LISTED: "False",
    Condition.SOURCES_READY: "False",
    Condition.HEAD_READY: "False",
    Condition.PROGRESSING: "True",
    Condition.DRAINING: "True",
    Condition.SCALING_ACTIVE: "False",
    Condition.GRACE_SHORT: "True",
    Condition.COSTS_DIFFER: "True",
    Condition.MODE_UNSUPPORTED: "True",
    Condition.REDIS_NOT_ALLOWED: "True",
}
"""Conditions, and the status in which each is worth a line."""


@dataclass(frozen=True, slots=True)
class PodLine:
    """One pod."""

    name: str
    state: str
    """pending, ready, draining, not ready (was Ready, is not now), going."""
    load: int | None
    """Jobs, sessions or tasks; `None`: unknown."""
    since: str | None
    """Since when it drains."""
    why: str | None
    node: str | None
    age_seconds: float | None
    address: str | None


@dataclass(frozen=True, slots=True)
class FleetLine:
    """One fleet or pool."""

    kind: str
    namespace: str
    name: str
    wanted: int | None
    ready: int
    draining: int
    load: int | None
    """Jobs, sessions or tasks on all pods; `None`: unknown."""
    mode: str | None
    listed: int | None
    up_to_date: bool
    """Whether the status speaks of the resource as it now is."""
    notes: tuple[str, ...]
    """What conditions say that is worth a line."""
    pods: tuple[PodLine, ...]


def lines(resources: Sequence[Raw], pods: Sequence[Raw], now: float) -> list[FleetLine]:
    """All fleets by kind, namespace and name."""
    by_fleet: dict[tuple[str, str, str], list[Raw]] = {}
    for pod in pods:
        labels = pod["metadata"].get("labels") or {}
        kind, fleet = labels.get(Label.KIND), labels.get(Label.FLEET)
        if kind and fleet:
            key = (kind, pod["metadata"]["namespace"], fleet)
            by_fleet.setdefault(key, []).append(pod)
    ordered = sorted(
        resources,
        key=lambda each: (each["kind"], each["metadata"]["namespace"], each["metadata"]["name"]),
    )
    return [_fleet(each, by_fleet, now) for each in ordered]


def as_data(fleets: Sequence[FleetLine]) -> list[dict[str, Any]]:
    """For `-o json` and `-o yaml`."""
    return [
        {**asdict(each), "notes": list(each.notes), "pods": [asdict(pod) for pod in each.pods]}
        for each in fleets
    ]


_WITH_CHILDREN: Final = "foregroundDeletion"
"""Of Kubernetes: what it owns goes first."""


def duration(seconds: float | None) -> str:
    """How long, as kubectl says it: 12s, 3m10s, 2h5m, 4d."""
    if seconds is None:
        return ""
    whole = max(int(seconds), 0)
    if whole < 120:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60}s"
    if whole < 2 * 86400:
        return f"{whole // 3600}h{whole % 3600 // 60}m"
    return f"{whole // 86400}d"


def _fleet(raw: Raw, by_fleet: Mapping[tuple[str, str, str], list[Raw]], now: float) -> FleetLine:
    meta, spec, status = raw["metadata"], raw.get("spec") or {}, raw.get("status") or {}
    kind = KIND_LABELS[Kind(raw["kind"])].value
    _, counted = WORK[Kind(raw["kind"])]
    pods = by_fleet.get((kind, meta["namespace"], meta["name"]), [])
    said = {each["name"]: each for each in status.get("pods") or ()}
    views = [_pod(pod, said.get(pod["metadata"]["name"], {}), now) for pod in pods]
    return FleetLine(
        kind=raw["kind"],
        namespace=meta["namespace"],
        name=meta["name"],
        wanted=spec.get("replicas"),
        ready=status.get("readyReplicas") or 0,
        draining=status.get("draining") or 0,
        load=status.get(counted),
        mode=status.get("mode"),
        listed=status.get("listed"),
        up_to_date=status.get("observedGeneration") == meta.get("generation"),
        notes=tuple(_notes(raw)),
        pods=tuple(sorted(views, key=lambda pod: (len(pod.name), pod.name))),
    )


def alarming(status: Raw) -> list[Raw]:
    """Conditions that are worth a line: of those that say the same the first."""
    kept: list[Raw] = []
    for each in status.get("conditions") or ():
        message = each.get("message", "")
        told = any(message and message in before.get("message", "") for before in kept)
        if ALARMING.get(each["type"]) == each["status"] and not told:
            kept.append(each)
    return kept


def being_deleted(meta: Raw) -> str | None:
    """That a fleet is being deleted, and what it waits for; `None`: it is not."""
    if "deletionTimestamp" not in meta:
        return None
    holds = [each for each in meta.get("finalizers") or () if each != _WITH_CHILDREN]
    if not holds:
        return "it is being deleted, after its pods"
    who = f"finalizer {holds[0]}" if len(holds) == 1 else f"finalizers {', '.join(holds)}"
    return f"it is being deleted, and waits for who set {who}; mediafleet sets none"


def _notes(raw: Raw) -> list[str]:
    status = raw.get("status") or {}
    going = being_deleted(raw["metadata"])
    if going is not None:
        # The operator lets it go as it is: what its conditions say is of before.
        return [going]
    notes = [f"{each['type']}: {each.get('message', '')}" for each in alarming(status)]
    scaling = status.get("autoscaling") or {}
    why = scaling.get("why", "")
    if scaling.get("wanted") is not None and not any(why and why in note for note in notes):
        notes.append(f"Autoscaling ({scaling.get('engine')}): {why}")
    if not status:
        notes.append(
            "no operator has looked at it yet: is one running, and does it serve this namespace?"
        )
    elif status.get("observedGeneration") != raw["metadata"].get("generation"):
        notes.append("the operator has not seen the last change yet")
    return notes


def _pod(raw: Raw, said: Raw, now: float) -> PodLine:
    meta = raw["metadata"]
    annotations = meta.get("annotations") or {}
    conditions = (raw.get("status") or {}).get("conditions") or ()
    ready = any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)
    state = (meta.get("labels") or {}).get(Label.STATE, "")
    if serves_unmarked(raw):
        state = "ready"
    if "deletionTimestamp" in meta:
        state = "going"
    elif state == "ready" and not ready:
        state = "not ready"
    return PodLine(
        name=meta["name"],
        state=state,
        load=said.get("load"),
        since=annotations.get(Annotation.DRAIN_STARTED),
        why=annotations.get(Annotation.DRAIN_REASON) or said.get("reason"),
        node=(raw.get("spec") or {}).get("nodeName"),
        age_seconds=_age(meta.get("creationTimestamp"), now),
        address=annotations.get(Annotation.ADDRESS),
    )


def _age(at: str | None, now: float) -> float | None:
    seconds = since_seconds(at, now)
    return None if seconds is None else round(seconds)


def since_seconds(at: str | None, now: float) -> float | None:
    """Seconds since an RFC 3339 time; `None` when it is none."""
    began = unix(at)
    return None if began is None else now - began
