"""Demand of a pool by the sessions of its nodes. What is not known is said to be; it is never 0."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto

from mediafleet_common.api.names import Kind
from mediafleet_common.reports.demand import SESSION, FleetDemand
from mediafleet_common.scaling.unknown import silence, unknown


class Standing(Enum):
    """What a node is to its pool. One that has never been Ready is none of these."""

    READY = auto()
    AWAY = auto()
    """Was Ready, and is not now: its node or kubelet may be away, and its sessions may go on."""
    DRAINING = auto()


@dataclass(frozen=True, slots=True)
class NodeSessions:
    """What one node tells of its sessions; `None` is unknown."""

    name: str
    standing: Standing
    sessions: int | None
    capacity: int | None
    """Sessions it takes at most."""


def pool_demand(
    namespace: str, name: str, nodes: Sequence[NodeSessions], sessions_max: int | None, now: float
) -> FleetDemand:
    """The demand of a pool; `sessions_max` is what a node takes where there is none to tell.

    Unknown while a Ready node does not tell its sessions. One that is away counts with what it
    tells, or as full. Nothing waits for a pool: gateways go elsewhere.
    """
    ready = [node for node in nodes if node.standing is Standing.READY]
    counted = [(node, node.sessions) for node in ready if node.sessions is not None]
    silent = [node.name for node in ready if node.sessions is None]
    if silent:
        reason = silence(silent, "does not tell its sessions")
        return unknown(Kind.ORCHESTRATOR_POOL, namespace, name, reason, now)
    sizes = [node.capacity for node in ready] or [sessions_max]
    capacities = [size for size in sizes if size]
    sized = len(capacities) == len(sizes)
    full = max(capacities) if sized else None
    away = [
        (node.name, full if node.sessions is None else node.sessions)
        for node in nodes
        if node.standing is Standing.AWAY
    ]
    lost = [name for name, sessions in away if sessions is None]
    if lost:
        reason = silence(lost, "is not Ready and does not tell its sessions")
        return unknown(Kind.ORCHESTRATOR_POOL, namespace, name, reason, now)
    unready = [sessions for _, sessions in away if sessions]
    work = sum(sessions for _, sessions in counted) + sum(unready)
    return FleetDemand(
        kind=Kind.ORCHESTRATOR_POOL,
        namespace=namespace,
        name=name,
        known=True,
        at=now,
        ready=len(ready),
        busy=sum(sessions > 0 for _, sessions in counted) + len(unready),
        away=len(unready),
        work=work,
        leaving=_on_draining(nodes),
        used=float(work),
        size=sum(capacities) / len(capacities) if sized else None,
        free={SESSION: sum(max(0, (node.capacity or 0) - sessions) for node, sessions in counted)}
        if sized
        else {},
        each={SESSION: min(capacities)} if sized else {},
    )


def _on_draining(nodes: Sequence[NodeSessions]) -> int:
    """Sessions on draining nodes: one at least while nobody can tell, so that none is idle."""
    draining = (node for node in nodes if node.standing is Standing.DRAINING)
    return sum(1 if node.sessions is None else node.sessions for node in draining)
